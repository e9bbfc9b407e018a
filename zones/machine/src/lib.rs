//! One zone's virtual machine and the bulkhead-zone process.
