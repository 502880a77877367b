//! POP3 itself, pure: no socket, no file, no clock.
