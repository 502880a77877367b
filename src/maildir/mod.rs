//! Maildirs on disk. Knows no protocol and no socket.
