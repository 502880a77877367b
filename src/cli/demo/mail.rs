//! The demo's messages.
use std::time::SystemTime;
/// All of them.
pub fn messages(_: SystemTime) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("a", b"From: a@example.org\nSubject: hello\n\nworld\n".to_vec()),
        ("b", b"From: a@example.org\nSubject: hello2\n\n.\nworld\n".to_vec()),
    ]
}
