//! Inputs that are almost right, the same ones at each run.

/// An endless sequence of changed inputs.
#[derive(Clone, Debug)]
pub struct Mutations {
    inputs: Vec<Vec<u8>>,
    state: u64,
}

/// Bytes that mean something in many formats: ends of varints, signs, brackets, quotes.
const INTERESTING: &[u8] =
    &[0, 1, 0x7f, 0x80, 0xff, b'"', b'{', b'}', b'[', b'(', b'-', b'&', b'*', b'\n', b' '];

impl Mutations {
    /// Mutations of `inputs`.
    pub fn of(inputs: Vec<Vec<u8>>) -> Self {
        Self { inputs, state: 0x9e37_79b9_7f4a_7c15 }
    }

    fn next_below(&mut self, bound: usize) -> usize {
        // xorshift64: Marsaglia, "Xorshift RNGs", 2003.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state % bound.max(1) as u64) as usize
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.next_below(input.len() + 1);
        let length = self.next_below(16).min(input.len() - at);
        match self.next_below(7) {
            0 => input.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (at % 8)),
            1 => {
                let byte = INTERESTING[self.next_below(INTERESTING.len())];
                input.iter_mut().skip(at).take(1).for_each(|old| *old = byte);
            }
            2 => input.insert(at, INTERESTING[self.next_below(INTERESTING.len())]),
            3 => drop(input.drain(at..at + length)),
            4 => input.truncate(at),
            5 => {
                let copy = input[at..at + length].to_vec();
                let to = self.next_below(input.len() + 1);
                drop(input.splice(to..to, copy));
            }
            _ => {
                let other = self.next_below(self.inputs.len());
                let from = self.next_below(self.inputs[other].len() + 1);
                input.truncate(at);
                input.extend_from_slice(&self.inputs[other][from..]);
            }
        }
    }
}

impl Iterator for Mutations {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let which = self.next_below(self.inputs.len());
        let mut input = self.inputs.get(which)?.clone();
        for _ in 0..=self.next_below(4) {
            self.change(&mut input);
        }
        Some(input)
    }
}
