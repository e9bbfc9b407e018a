//! What stands for the desktop's kernel: polls by USB/IP, one in flight, as `usbhid` does.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use usb_redirect::setup::{EndpointAddress, Setup};
use usb_redirect::usbip::{Answer, BusId, Command, Expected, Operation, OperationReply, Submit};

/// The bytes of a report here.
pub const LENGTH: u32 = 8;
const INPUT: EndpointAddress = EndpointAddress(0x81);

pub struct Consumer {
    socket: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    sequence: u32,
    device: u32,
}

impl Consumer {
    pub fn new(socket: UnixStream) -> Self {
        Self {
            socket,
            input: Vec::new(),
            output: Vec::new(),
            sequence: 0,
            device: 0x0001_0002,
        }
    }

    /// How long to wait for a report before the stream counts as ended.
    pub fn patience(&self, patience: Duration) -> Result<()> {
        Ok(self.socket.set_read_timeout(Some(patience))?)
    }

    /// Imports the device, where the peer is a USB/IP server.
    pub fn import(&mut self, bus: BusId) -> Result<()> {
        let operation = Operation::Import(bus);
        operation.encode(&mut self.output);
        self.flush()?;
        loop {
            if let Some((reply, used)) = OperationReply::decode(operation, &self.input)? {
                self.input.drain(..used);
                let OperationReply::Imported(record) = reply else {
                    bail!("the device was refused");
                };
                self.device = record.device();
                return Ok(());
            }
            if !self.read()? {
                bail!("the server went away");
            }
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.socket.write_all(&self.output)?;
        self.output.clear();
        Ok(())
    }

    fn read(&mut self) -> Result<bool> {
        let mut chunk = [0; 4096];
        match self.socket.read(&mut chunk) {
            Ok(0) => Ok(false),
            Ok(count) => {
                self.input
                    .extend_from_slice(chunk.get(..count).unwrap_or_default());
                Ok(true)
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error).context("read an answer"),
        }
    }

    /// Polls once and waits for the report; `None` when none came in time.
    pub fn poll(&mut self, report: &mut [u8; 8]) -> Result<Option<usize>> {
        self.sequence = self.sequence.wrapping_add(1);
        Command::Submit(Submit {
            sequence: self.sequence,
            device: self.device,
            endpoint: INPUT,
            flags: 0,
            length: LENGTH,
            interval: 1,
            setup: Setup::from_bytes([0; 8]),
            data: &[],
        })
        .encode(&mut self.output);
        self.flush()?;
        let mine = self.sequence;
        let expected = |sequence| {
            (sequence == mine).then_some(Expected {
                input: true,
                length: LENGTH,
            })
        };
        loop {
            if let Some((answer, used)) = Answer::decode(&self.input, expected)? {
                let Answer::Submit {
                    status: 0, data, ..
                } = answer
                else {
                    return Ok(None);
                };
                let length = data.len();
                for (place, byte) in report.iter_mut().zip(data) {
                    *place = *byte;
                }
                self.input.drain(..used);
                return Ok(Some(length));
            }
            if !self.read()? {
                return Ok(None);
            }
        }
    }
}
