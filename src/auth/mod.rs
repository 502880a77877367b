//! Who may log in: the users file and the hashes in it. Knows no socket and no protocol.
