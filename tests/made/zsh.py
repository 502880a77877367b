"""Types a line and a tab into a zsh that has the completions of a folder, and prints what is on the line then.

Usage: zsh.py FOLDER LINE. Knows nothing of what should be offered.
"""

import os
import pty
import select
import sys
import tempfile

folder, line = sys.argv[1:]
END = b"<end>"
# Ctrl-X prints the line as it stands, and ends.
SETUP = f"""
PS1=; fpath=({folder} $fpath); autoload -U compinit; compinit -u -D
poppet() {{ : }}
show() {{ print -r -- "<line>$BUFFER<end>"; exit }}
zle -N show; bindkey '^X' show; bindkey '^I' complete-word; setopt no_beep no_list_ambiguous
print -r -- "<ready>"
"""


def read_until(screen, mark):
    """All octets up to and with `mark`; at most ten seconds without any."""
    got = b""
    while mark not in got:
        if not select.select([screen], [], [], 10)[0]:
            sys.exit(f"zsh is silent; it said {got!r}")
        try:
            got += os.read(screen, 4096)
        except OSError:
            sys.exit(f"zsh has ended; it said {got!r}")
    return got


with tempfile.TemporaryDirectory() as home:
    with open(os.path.join(home, ".zshrc"), "w") as file:
        file.write(SETUP)
    child, screen = pty.fork()
    if child == 0:
        os.environ.update(ZDOTDIR=home, HOME=home, TERM="dumb")
        os.execvp("zsh", ["zsh", "-d", "-i"])
    read_until(screen, b"<ready>")
    os.write(screen, line.encode() + b"\t\x18")
    said = read_until(screen, END)
    print(said.split(b"<line>")[-1].split(END)[0].decode())
    os.waitpid(child, 0)
