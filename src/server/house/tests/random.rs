//! Chance that can be had again.

use std::{cell::RefCell, rc::Rc};

/// SplitMix64, shared by all who need chance.
#[derive(Clone)]
pub(super) struct Random(Rc<RefCell<u64>>);

impl Random {
    pub(super) fn from_seed(seed: u64) -> Random {
        Random(Rc::new(RefCell::new(seed)))
    }

    pub(super) fn below(&self, n: u64) -> u64 {
        let mut state = self.0.borrow_mut();
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }

    pub(super) fn one_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }
}
