//! The shell: where protocol, files and octets meet.
