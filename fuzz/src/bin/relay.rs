//! The whole way of RongCloud's relay, from the request to the receipts and the answer.
#![cfg_attr(fuzzing, no_main)]

readhook_fuzz::target!(Relay);
