//! The way out for bytes of the guest's ports: what the endpoint's credit allows, in messages of bounded size.

use std::sync::{Mutex, PoisonError};

use zone_link::{FromZone, Port, PortBytes, ProtocolError, SendCredit, Sender, limits};

/// Sends port bytes over the link; shared by the devices.
#[derive(Debug)]
pub struct Outlet {
    sender: Sender<FromZone>,
    credit: Mutex<SendCredit>,
}

impl Outlet {
    /// An outlet with the credit that a link begins with.
    pub fn new(sender: Sender<FromZone>) -> Self {
        Self {
            sender,
            credit: Mutex::default(),
        }
    }

    /// Sends as many bytes as there is credit for; returns how many. A link that is gone takes everything: the process is
    /// about to end.
    pub fn send(&self, port: Port, bytes: &[u8]) -> usize {
        let mut sent = 0;
        for part in bytes.chunks(limits::PORT_DATA_BYTES) {
            let mut credit = self.credit.lock().unwrap_or_else(PoisonError::into_inner);
            let room = usize::try_from(credit.available(port)).unwrap_or(usize::MAX);
            let Some(data) = PortBytes::new(part.get(..room).unwrap_or(part)) else {
                break;
            };
            let length = data.length();
            if !credit.take(port, length) {
                break;
            }
            // Under the lock, so that two harts' bytes keep their order.
            let _ = self.sender.send(&FromZone::PortData { port, data });
            sent += usize::try_from(length).unwrap_or(0);
            if sent % limits::PORT_DATA_BYTES != 0 {
                break;
            }
        }
        sent
    }

    /// The endpoint takes more.
    pub fn grant(&self, port: Port, bytes: u32) -> Result<(), ProtocolError> {
        self.credit
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .grant(port, bytes)
    }
}
