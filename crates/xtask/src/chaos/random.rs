//! Random numbers that choose configurations, signals and instants.

/// Steele, Lea, Flood: Fast splittable pseudorandom number generators (2014).
pub struct SplitMix(pub u64);

impl SplitMix {
    /// Those of item `number` of `seed`, which do not depend on the items before.
    pub fn of(seed: u64, number: u64) -> SplitMix {
        let start = SplitMix(seed).next();
        SplitMix(SplitMix(start ^ number).next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in 0 to 1.
    pub fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Whether something of this probability happens.
    pub fn happens(&mut self, probability: f64) -> bool {
        self.fraction() < probability
    }

    /// One of `items`, each as likely as the others.
    pub fn one_of(&mut self, items: &[&'static str]) -> &'static str {
        let place = (self.fraction() * items.len() as f64) as usize;
        items.get(place).copied().unwrap_or_default()
    }
}
