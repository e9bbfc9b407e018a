//! The few acts on storage that installing and recording need, so that tests can stop the world between any two of them.
//!
//! What is written is not durable until it is synced; what is renamed is not durable until the directory is. Names are
//! plain file names within one directory that no zone can reach.

use std::io;

/// One directory.
pub trait Disk {
    /// Reads a file; none where there is none. Fails where it is larger than `limit` bytes.
    fn read(&self, name: &str, limit: usize) -> io::Result<Option<Vec<u8>>>;
    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Writes a file anew.
    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Writes at the end of a file; makes it where there is none.
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Cuts a file to a length.
    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()>;
    /// Makes what was written to a file durable.
    fn sync(&mut self, name: &str) -> io::Result<()>;
    /// Gives a file another name, and takes that of one that had it.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&mut self, name: &str) -> io::Result<()>;
    /// Makes names durable: those made, changed and removed.
    fn sync_directory(&mut self) -> io::Result<()>;

    /// Replaces a file's content: afterwards, and after a power cut, it is the old or the new one, whole.
    fn replace(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let new = format!("{name}.new");
        self.write(&new, bytes)?;
        self.sync(&new)?;
        self.rename(&new, name)?;
        self.sync_directory()
    }
}
