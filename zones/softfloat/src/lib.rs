//! IEEE 754 arithmetic in integers, exact to the last flag, as RISC-V F and D define it.
