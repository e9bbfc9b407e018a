//! The protocol from outside: bytes in `messages`, the socket in `socket`.

mod messages;
mod socket;
mod support;
