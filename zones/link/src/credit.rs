//! Flow control of the ports, the same on both sides: each side begins with [`limits::PORT_CREDIT`] bytes to send per port, and the
//! receiver grants what it has consumed. So neither side ever holds more than that much per port.

use crate::error::ProtocolError;
use crate::limits;
use crate::types::Port;

/// How much this side may still send, port by port.
#[derive(Clone, Debug)]
pub struct SendCredit {
    left: [u32; limits::PORTS as usize],
}

impl Default for SendCredit {
    fn default() -> Self {
        Self {
            left: [limits::PORT_CREDIT; limits::PORTS as usize],
        }
    }
}

impl SendCredit {
    /// Bytes that may be sent on `port` now.
    #[must_use]
    pub fn available(&self, port: Port) -> u32 {
        self.left.get(port as usize).copied().unwrap_or(0)
    }

    /// Takes `bytes` off; false, and nothing taken, when there are not as many.
    #[must_use]
    pub fn take(&mut self, port: Port, bytes: u32) -> bool {
        let Some(left) = self.left.get_mut(port as usize) else {
            return false;
        };
        match left.checked_sub(bytes) {
            Some(rest) => {
                *left = rest;
                true
            }
            None => false,
        }
    }

    /// Adds what the peer granted.
    ///
    /// # Errors
    /// A grant beyond [`limits::PORT_CREDIT`]: the peer granted bytes that were never sent.
    pub fn grant(&mut self, port: Port, bytes: u32) -> Result<(), ProtocolError> {
        let beyond = ProtocolError::Credit {
            port: port.number(),
        };
        let Some(left) = self.left.get_mut(port as usize) else {
            return Err(beyond);
        };
        match left.checked_add(bytes) {
            Some(sum) if sum <= limits::PORT_CREDIT => {
                *left = sum;
                Ok(())
            }
            _ => Err(beyond),
        }
    }
}

/// How much the peer may still send, port by port, and what was consumed but not yet granted again.
#[derive(Clone, Debug)]
pub struct ReceiveCredit {
    granted: [u32; limits::PORTS as usize],
    consumed: [u32; limits::PORTS as usize],
}

impl Default for ReceiveCredit {
    fn default() -> Self {
        Self {
            granted: [limits::PORT_CREDIT; limits::PORTS as usize],
            consumed: [0; limits::PORTS as usize],
        }
    }
}

impl ReceiveCredit {
    /// Counts bytes that arrived.
    ///
    /// # Errors
    /// More bytes than were granted.
    pub fn receive(&mut self, port: Port, bytes: u32) -> Result<(), ProtocolError> {
        let beyond = ProtocolError::Credit {
            port: port.number(),
        };
        let Some(granted) = self.granted.get_mut(port as usize) else {
            return Err(beyond);
        };
        *granted = granted.checked_sub(bytes).ok_or(beyond)?;
        Ok(())
    }

    /// Counts bytes that were used up, and gives the grant to send to the peer once it is worth a message (a quarter of the whole).
    #[must_use]
    pub fn consume(&mut self, port: Port, bytes: u32) -> Option<u32> {
        let granted = self.granted.get_mut(port as usize)?;
        let consumed = self.consumed.get_mut(port as usize)?;
        // Never beyond the whole, whatever the caller says it consumed.
        *consumed = consumed
            .saturating_add(bytes)
            .min(limits::PORT_CREDIT.saturating_sub(*granted));
        if *consumed < limits::PORT_CREDIT / 4 {
            return None;
        }
        let grant = std::mem::take(consumed);
        *granted = granted.saturating_add(grant);
        Some(grant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_never_stalls_and_never_exceeds_the_credit() {
        let (mut sender, mut receiver) = (SendCredit::default(), ReceiveCredit::default());
        for round in 0..1000_u32 {
            let bytes = 1 + (round * 7919) % 4096;
            assert!(
                sender.take(Port::Console, bytes),
                "stalled in round {round}"
            );
            receiver.receive(Port::Console, bytes).unwrap();
            if let Some(grant) = receiver.consume(Port::Console, bytes) {
                sender.grant(Port::Console, grant).unwrap();
            }
        }
    }

    #[test]
    fn a_sender_beyond_its_credit_is_found() {
        let mut receiver = ReceiveCredit::default();
        receiver.receive(Port::Agent, limits::PORT_CREDIT).unwrap();
        assert_eq!(
            receiver.receive(Port::Agent, 1),
            Err(ProtocolError::Credit { port: 2 })
        );
        assert!(
            receiver.receive(Port::Console, 1).is_ok(),
            "ports have credits of their own"
        );
    }

    #[test]
    fn a_grant_of_bytes_never_sent_is_found() {
        let mut sender = SendCredit::default();
        assert!(sender.grant(Port::State, 1).is_err());
        assert!(sender.take(Port::State, 10));
        assert!(sender.grant(Port::State, 11).is_err());
        assert!(sender.grant(Port::State, u32::MAX).is_err());
        assert!(sender.grant(Port::State, 10).is_ok());
        assert_eq!(sender.available(Port::State), limits::PORT_CREDIT);
    }
}
