//! The jail that a zone process locks itself into.
