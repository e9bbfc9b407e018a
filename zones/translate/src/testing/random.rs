//! A small repeatable source of random numbers, weighted to the values where arithmetic goes wrong.

/// SplitMix64.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// An integer register's value.
    pub(crate) fn integer(&mut self) -> u64 {
        const TURNING_POINTS: [u64; 12] = [
            0,
            1,
            u64::MAX,
            1 << 63,
            (1 << 63) - 1,
            1 << 31,
            (1 << 31) - 1,
            u32::MAX as u64,
            1 << 32,
            0xffff_ffff_8000_0000,
            0x8000,
            0xff,
        ];
        match self.below(6) {
            0 | 1 => self.pick(&TURNING_POINTS),
            2 => self.next() >> self.below(64),
            3 => !(self.next() >> self.below(64)),
            4 => (self.next() as i32) as u64,
            _ => self.next(),
        }
    }

    /// A floating-point register's value: both formats, boxed or not.
    pub(crate) fn float(&mut self) -> u64 {
        const SINGLES: [u32; 14] = [
            0,
            1,
            0x007f_ffff,
            0x0080_0000,
            0x3f80_0000,
            0x3f80_0001,
            0x4f00_0000,
            0x5f00_0000,
            0x7f7f_ffff,
            0x7f80_0000,
            0x7f80_0001,
            0x7fc0_0000,
            0x7fff_ffff,
            0x4b00_0000,
        ];
        const DOUBLES: [u64; 14] = [
            0,
            1,
            0x000f_ffff_ffff_ffff,
            0x0010_0000_0000_0000,
            0x3ff0_0000_0000_0000,
            0x3ff0_0000_0000_0001,
            0x41e0_0000_0000_0000,
            0x43e0_0000_0000_0000,
            0x7fef_ffff_ffff_ffff,
            0x7ff0_0000_0000_0000,
            0x7ff0_0000_0000_0001,
            0x7ff8_0000_0000_0000,
            0x7fff_ffff_ffff_ffff,
            0x3690_0000_0000_0000,
        ];
        let sign = self.next() & 1;
        match self.below(8) {
            0 | 1 => 0xffff_ffff_0000_0000 | sign << 31 | u64::from(self.pick(&SINGLES)),
            // Near one, where sums cancel and products stay in range.
            2 => 0xffff_ffff_0000_0000 | sign << 31 | (0x3f00_0000 + (self.next() & 0x01ff_ffff)),
            3 => 0xffff_ffff_0000_0000 | self.next() & 0xffff_ffff,
            4 => sign << 63 | self.pick(&DOUBLES),
            5 => sign << 63 | (0x3fe0_0000_0000_0000 + (self.next() & 0x003f_ffff_ffff_ffff)),
            6 => (self.next() as i32 as f64).to_bits(),
            _ => self.next(),
        }
    }
}
