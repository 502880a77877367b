//! The measurement that `docs/PERFORMANCE.md` shows still runs: small sizes, poppet only.
//!
//! Does not know: how fast anything is.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::needs;

#[test]
fn measurement_fills_every_field_and_its_charts_are_svg() {
    if !needs("python3") || !needs("openssl") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (results, document, charts) = (file("results.json"), file("PERFORMANCE.md"), file("charts"));
    let program = env!("CARGO_BIN_EXE_poppet");
    python(&script("measure.py"), &["--quick", "--servers", "poppet", "--poppet", program, "--results", &results]);

    let template = fs::read_to_string(root().join("docs/PERFORMANCE.md")).unwrap();
    fs::write(&document, &template).unwrap();
    python(&script("draw.py"), &["--results", &results, "--document", &document, "--charts", &charts]);
    python(Path::new("-c"), &[LOOK, &results, &charts]);

    let drawn = fs::read_to_string(&document).unwrap();
    let head = template.split("<!-- results").next().unwrap();
    assert!(drawn.starts_with(head), "what stands before the table has changed");
    assert!(drawn.contains("| 1,000 messages: first login, ms | "), "{drawn}");
}

fn python(program: &Path, arguments: &[&str]) {
    let done = Command::new("python3").arg(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{}: {said}", program.display());
}

fn script(name: &str) -> PathBuf {
    root().join("contrib/performance").join(name)
}

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

/// Fails where a figure is missing, or a chart is no XML, knows no dark background, or has another number of lines.
const LOOK: &str = r#"
import json, sys
from xml.etree import ElementTree

def filled(value, at="results"):
    if isinstance(value, dict):
        assert value, at
        [filled(inner, f"{at}.{name}") for name, inner in value.items() if name != "note"]
    elif isinstance(value, list):
        [filled(inner, f"{at}[{number}]") for number, inner in enumerate(value)]
    else:
        assert value not in (None, "") and value != 0 or at.endswith((".sessions", ".quick")), f"{at} is {value!r}"

results = json.load(open(sys.argv[1]))
filled(results)
assert not results["skipped"], results["skipped"]
(poppet,) = results["servers"]
timed = {"first_login_ms", "later_login_ms", "delivered_login_ms", "uidl_ms", "list_ms", "memory_kib", "count"}
assert [set(it) for it in poppet["messages"]] == [timed, timed], poppet["messages"]
assert [it["count"] for it in poppet["messages"]] == [100, 1000]
assert len(poppet["download"]) == 4 and len(poppet["sessions"]) == 4
for name in ("idle_plain", "idle_tls"):
    assert [it["sessions"] for it in poppet[name]] == [0, 1, 10], poppet[name]

for chart in ("login.svg", "memory.svg"):
    text = open(f"{sys.argv[2]}/{chart}").read()
    svg = ElementTree.fromstring(text)
    assert svg.tag == "{http://www.w3.org/2000/svg}svg" and "prefers-color-scheme: dark" in text
    lines = list(svg.iter("{http://www.w3.org/2000/svg}polyline"))
    assert len(lines) == 4, f"{chart}: three lines and that of the legend, but {len(lines)}"
"#;
