//! Storage in memory that can stop at any act, and then shows what a power cut leaves: of what was not synced, nothing,
//! all, or a part.

use std::collections::BTreeMap;
use std::io;

use bulkhead_policy::Disk;

/// What a power cut leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Nothing of it: neither content nor names.
    All,
    /// The content is cut in half, names are lost.
    HalfOfContent,
    /// Names are there, content is not.
    ContentOnly,
    /// Nothing is lost.
    Nothing,
}

pub const LOSSES: [Loss; 4] = [
    Loss::All,
    Loss::HalfOfContent,
    Loss::ContentOnly,
    Loss::Nothing,
];

#[derive(Clone, Debug, Default)]
pub struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
}

#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    pub contents: Vec<Content>,
    pub names: BTreeMap<String, usize>,
    pub durable_names: BTreeMap<String, usize>,
    /// Acts until everything fails.
    pub acts_left: Option<usize>,
    /// Acts so far.
    pub acts: usize,
    /// Bytes until the disk is full.
    pub room: Option<usize>,
}

impl MemoryDisk {
    fn act(&mut self) -> io::Result<()> {
        self.acts += 1;
        match &mut self.acts_left {
            Some(0) => Err(io::Error::other("the power is cut")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// What is there after the power comes back.
    pub fn after_power_cut(&self, loss: Loss) -> Self {
        let names = if matches!(loss, Loss::All | Loss::HalfOfContent) {
            &self.durable_names
        } else {
            &self.names
        };
        let contents = self.contents.iter().map(|content| {
            let left = match loss {
                Loss::Nothing => content.now.clone(),
                Loss::All | Loss::ContentOnly => content.durable.clone(),
                Loss::HalfOfContent => {
                    let kept = content.durable.len().min(content.now.len());
                    let half = kept + (content.now.len() - kept) / 2;
                    content.now[..half].to_vec()
                }
            };
            Content {
                now: left.clone(),
                durable: left,
            }
        });
        Self {
            contents: contents.collect(),
            names: names.clone(),
            durable_names: names.clone(),
            ..Self::default()
        }
    }

    pub fn content(&self, name: &str) -> Option<&[u8]> {
        Some(&self.contents[*self.names.get(name)?].now)
    }

    pub fn set(&mut self, name: &str, bytes: &[u8]) {
        self.contents.push(Content {
            now: bytes.to_vec(),
            durable: bytes.to_vec(),
        });
        self.names.insert(name.to_owned(), self.contents.len() - 1);
        self.durable_names
            .insert(name.to_owned(), self.contents.len() - 1);
    }

    pub fn delete(&mut self, name: &str) {
        self.names.remove(name);
        self.durable_names.remove(name);
    }

    fn index(&self, name: &str) -> io::Result<usize> {
        self.names
            .get(name)
            .copied()
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn fill(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        match &mut self.room {
            Some(room) if *room < bytes.len() => {
                let fits = std::mem::take(room);
                (fits, Err(io::Error::from(io::ErrorKind::StorageFull)))
            }
            Some(room) => {
                *room -= bytes.len();
                (bytes.len(), Ok(()))
            }
            None => (bytes.len(), Ok(())),
        }
    }
}

impl Disk for MemoryDisk {
    fn read(&self, name: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let bytes = self.content(name).map(<[u8]>::to_vec);
        if bytes.as_ref().is_some_and(|bytes| bytes.len() > limit) {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        Ok(bytes)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names.keys().cloned().collect())
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.act()?;
        let (fits, result) = self.fill(bytes);
        if let Ok(index) = self.index(name) {
            self.contents[index].now = bytes[..fits].to_vec();
        } else {
            self.contents.push(Content {
                now: bytes[..fits].to_vec(),
                durable: Vec::new(),
            });
            self.names.insert(name.to_owned(), self.contents.len() - 1);
        }
        result
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.act()?;
        let (fits, result) = self.fill(bytes);
        if let Ok(index) = self.index(name) {
            self.contents[index].now.extend_from_slice(&bytes[..fits]);
        } else {
            self.contents.push(Content {
                now: bytes[..fits].to_vec(),
                durable: Vec::new(),
            });
            self.names.insert(name.to_owned(), self.contents.len() - 1);
        }
        result
    }

    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
        self.act()?;
        let index = self.index(name)?;
        self.contents[index]
            .now
            .truncate(usize::try_from(length).unwrap());
        Ok(())
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.act()?;
        let index = self.index(name)?;
        self.contents[index].durable = self.contents[index].now.clone();
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.act()?;
        let index = self.index(from)?;
        self.names.remove(from);
        self.names.insert(to.to_owned(), index);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.act()?;
        self.index(name)?;
        self.names.remove(name);
        Ok(())
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        self.act()?;
        self.durable_names = self.names.clone();
        Ok(())
    }
}
