//! Disjoint sets of numbered things (union-find): joining two, and telling which set one is in.

/// Each thing: another of its set, or itself; the smallest leads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Union(Vec<u32>);

impl Union {
    /// `count` things that stand alone.
    pub(crate) fn new(count: usize) -> Union {
        Union((0..count as u32).collect())
    }

    /// How many things there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The set of `i`, named by its smallest member.
    pub(crate) fn root(&mut self, mut i: u32) -> u32 {
        loop {
            let above = self.0[i as usize];
            if above == i {
                return i;
            }
            // Halves the way of those who come after.
            self.0[i as usize] = self.0[above as usize];
            i = above;
        }
    }

    /// Makes one set of those of `a` and `b`.
    pub(crate) fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b) as usize] = a.min(b);
    }
}
