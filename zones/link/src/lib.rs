//! The wire protocol between the endpoint and one zone process.
