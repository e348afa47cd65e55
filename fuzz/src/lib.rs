//! What is fuzzed, and what must hold: bytes become a callback ([`input`]), made genuine where they say so
//! ([`genuine`]), go a vendor's whole pure way ([`way`]), and what comes of it is held against what is
//! promised ([`promise`]).
//!
//! Nothing here knows libFuzzer, so all of it runs on any input without it, too: the tests run the fixtures,
//! and a target that was built as usual runs the files that it is given.

pub mod count;
pub mod genuine;
pub mod input;
pub mod mutate;
pub mod promise;
pub mod proof;
pub mod replay;
pub mod seed;
pub mod setting;
pub mod source;
pub mod way;

mod answer;
mod tokens;

/// A route, and so a vendor's room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Easemob.
    Easemob,
    /// Tencent Cloud Chat.
    Tencent,
    /// OpenIM.
    OpenIm,
    /// RongCloud's message routing.
    RongCloud,
    /// RongCloud's relay.
    Relay,
}

impl Target {
    /// Every target, in the order of the routes.
    pub const ALL: [Self; 5] = [Self::Easemob, Self::Tencent, Self::OpenIm, Self::RongCloud, Self::Relay];

    /// The name of its program, its dictionary and its folders.
    pub fn name(self) -> &'static str {
        match self {
            Self::Easemob => "easemob",
            Self::Tencent => "tencent",
            Self::OpenIm => "openim",
            Self::RongCloud => "rongcloud",
            Self::Relay => "relay",
        }
    }

    /// Its route below `/webhooks/`.
    pub fn route(self) -> &'static str {
        match self {
            Self::Relay => "rongcloud/relay",
            Self::Easemob | Self::Tencent | Self::OpenIm | Self::RongCloud => self.name(),
        }
    }
}

/// The program of a target: libFuzzer's under `--cfg fuzzing`, else one that runs the files it is given.
#[macro_export]
macro_rules! target {
    ($target:ident) => {
        #[cfg(fuzzing)]
        use libfuzzer_sys::Corpus;

        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(init: $crate::setting::read_all(), |bytes: &[u8]| -> Corpus {
            match $crate::promise::check($crate::Target::$target, bytes) {
                // The rest is checked as well, but what could be made of it would teach as little as it does.
                Some(way) if way.goes_deep() => Corpus::Keep,
                _ => Corpus::Reject,
            }
        });

        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_mutator!(|bytes: &mut [u8], size: usize, max_size: usize, seed: u32| {
            match $crate::mutate::mutate($crate::Target::$target, &bytes[..size], seed) {
                Some(mutated) if mutated.len() <= max_size => {
                    bytes[..mutated.len()].copy_from_slice(&mutated);
                    mutated.len()
                }
                _ => libfuzzer_sys::fuzzer_mutate(bytes, size, max_size),
            }
        });

        #[cfg(not(fuzzing))]
        fn main() -> std::io::Result<()> {
            $crate::replay::replay($crate::Target::$target)
        }
    };
}
