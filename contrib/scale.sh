#!/bin/sh
# Runs tests/scale.rs at full size: a Maildir of a million messages, 10,000 idle sessions over TLS and over clear text,
# 100,000 connections that come and go. Needs root (for 20,500 open files a process), a quiet machine, and room for two
# million small files in $TMPDIR, which is /dev/shm unless it is set. All of it stays on loopback.
# usage: contrib/scale.sh [further arguments of the test, as a part of a test's name]
# Figures are printed; a smaller run: MESSAGES=100000 SESSIONS=2000 CYCLES=10000 contrib/scale.sh
set -eu
cd "$(dirname "$0")/.."
TMPDIR=${TMPDIR:-/dev/shm}
POPPET_SCALE_MESSAGES=${MESSAGES:-1000000}
POPPET_SCALE_SESSIONS=${SESSIONS:-10000}
POPPET_SCALE_CYCLES=${CYCLES:-100000}
POPPET_SCALE_QUIET=${QUIET-1}
export TMPDIR POPPET_SCALE_MESSAGES POPPET_SCALE_SESSIONS POPPET_SCALE_CYCLES POPPET_SCALE_QUIET
# An empty QUIET= says that other programs run, so that the length of a turn proves nothing.
[ -n "$POPPET_SCALE_QUIET" ] || unset POPPET_SCALE_QUIET
# One after the other: they must not disturb each other's figures.
exec cargo test --release --test scale -- --nocapture --test-threads=1 "$@"
