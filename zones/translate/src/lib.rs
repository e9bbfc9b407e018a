//! The RISC-V CPU: decoder, interpreter, memory management unit.
