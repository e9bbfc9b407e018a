//! The client's side of plain USB/IP on a blocking stream: what stands for a desktop's kernel in benchmarks and tests, and talks to others' servers.
//!
//! Its buffers are made at the start: a transfer costs no allocation here.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Read, Result, Write};

use super::{Answer, Command, Expected, Operation, OperationReply, Submit};
use crate::setup::{EndpointAddress, Setup};

/// What a buffer has room for: far more than what waits, unless the other side is flooding.
const BUFFER: usize = 64 * 1024;

/// A client of one device.
#[derive(Debug)]
pub struct Client<S> {
    stream: S,
    device: u32,
    sequence: u32,
    waiting: BTreeMap<u32, Expected>,
    /// Unlinks on their way, each with what it takes back: that may be answered before.
    unlinks: BTreeMap<u32, u32>,
    input: Vec<u8>,
    /// How many bytes at the front of `input` were handed out.
    taken: usize,
    output: Vec<u8>,
}

impl<S: Read + Write> Client<S> {
    /// A client on a stream where the device `busnum << 16 | devnum` is imported already.
    pub fn new(stream: S, device: u32) -> Self {
        Self {
            stream,
            device,
            sequence: 0,
            waiting: BTreeMap::new(),
            unlinks: BTreeMap::new(),
            input: Vec::with_capacity(BUFFER),
            taken: 0,
            output: Vec::with_capacity(BUFFER),
        }
    }

    /// The stream.
    pub const fn stream(&self) -> &S {
        &self.stream
    }

    /// Lists a server's devices, or imports one; transfers then go to that.
    ///
    /// # Errors
    /// When the stream fails or ends, or the server refuses or breaks the protocol.
    pub fn operate(&mut self, operation: Operation) -> Result<OperationReply> {
        operation.encode(&mut self.output);
        self.flush()?;
        loop {
            if let Some((reply, used)) =
                OperationReply::decode(operation, &self.input).map_err(broken)?
            {
                self.input.drain(..used);
                if let OperationReply::Imported(record) = &reply {
                    self.device = record.device();
                }
                return Ok(reply);
            }
            if !self.read()? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Sends a transfer, and answers its sequence number. Of a control transfer the setup packet gives the direction.
    ///
    /// # Errors
    /// When the stream fails.
    pub fn submit(
        &mut self,
        endpoint: EndpointAddress,
        setup: Setup,
        length: u32,
        data: &[u8],
    ) -> Result<u32> {
        self.sequence = self.sequence.wrapping_add(1);
        let input = endpoint.is_input();
        self.waiting
            .insert(self.sequence, Expected { input, length });
        Command::Submit(Submit {
            sequence: self.sequence,
            device: self.device,
            endpoint,
            flags: 0,
            length,
            interval: 1,
            setup,
            data,
        })
        .encode(&mut self.output);
        self.flush()?;
        Ok(self.sequence)
    }

    /// Polls an interrupt-IN endpoint for at most `length` bytes.
    ///
    /// # Errors
    /// When the stream fails.
    pub fn poll(&mut self, endpoint: EndpointAddress, length: u32) -> Result<u32> {
        self.submit(endpoint, Setup::from_bytes([0; 8]), length, &[])
    }

    /// Sends a control transfer; `data` goes to the device.
    ///
    /// # Errors
    /// When the stream fails.
    pub fn control(&mut self, setup: [u8; 8], data: &[u8]) -> Result<u32> {
        let setup = Setup::from_bytes(setup);
        let endpoint = if setup.is_input() {
            EndpointAddress::input(0)
        } else {
            EndpointAddress::output(0)
        };
        self.submit(endpoint, setup, setup.length.into(), data)
    }

    /// Takes a transfer back; answers the unlink's own number.
    ///
    /// # Errors
    /// When the stream fails.
    pub fn unlink(&mut self, target: u32) -> Result<u32> {
        self.sequence = self.sequence.wrapping_add(1);
        self.unlinks.insert(self.sequence, target);
        Command::Unlink {
            sequence: self.sequence,
            device: self.device,
            target,
        }
        .encode(&mut self.output);
        self.flush()?;
        Ok(self.sequence)
    }

    /// Waits for the next answer; none at the stream's end.
    ///
    /// # Errors
    /// When the stream fails, for example because its timeout has passed, or the server breaks the protocol.
    pub fn answer(&mut self) -> Result<Option<Answer<'_>>> {
        self.input.drain(..std::mem::take(&mut self.taken));
        let used = loop {
            let waiting = &self.waiting;
            let decoded = Answer::decode(&self.input, |sequence| waiting.get(&sequence).copied());
            if let Some((_, used)) = decoded.map_err(broken)? {
                break used;
            }
            if !self.read()? {
                return Ok(None);
            }
        };
        self.taken = used;
        let waiting = &self.waiting;
        let decoded = Answer::decode(&self.input, |sequence| waiting.get(&sequence).copied());
        let answer = decoded.map_err(broken)?.map(|(answer, _)| answer);
        match answer {
            Some(Answer::Submit { sequence, .. }) => {
                self.waiting.remove(&sequence);
            }
            Some(Answer::Unlink { sequence, .. }) => {
                if let Some(target) = self.unlinks.remove(&sequence) {
                    self.waiting.remove(&target);
                }
            }
            None => {}
        }
        Ok(answer)
    }

    fn flush(&mut self) -> Result<()> {
        self.stream.write_all(&self.output)?;
        self.output.clear();
        Ok(())
    }

    fn read(&mut self) -> Result<bool> {
        let mut chunk = [0; 4096];
        let count = self.stream.read(&mut chunk)?;
        self.input
            .extend_from_slice(chunk.get(..count).unwrap_or_default());
        Ok(count > 0)
    }
}

fn broken(error: super::UsbIpError) -> Error {
    Error::new(ErrorKind::InvalidData, error)
}
