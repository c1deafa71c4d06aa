//! Embeds the files of `sql/order`, so that the binary installs the same SQL as the extension does.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    // Asked at run time: cargo may run a script that was built for another checkout.
    let here = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    let sql = Path::new(&here).join("../sql").canonicalize()?;
    println!("cargo::rerun-if-changed={}", sql.display());
    let order = fs::read_to_string(sql.join("order"))?;
    let paths = order.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let mut out = String::from("&[\n");
    for path in paths.filter(|path| !path.is_empty() && !path.starts_with("native/")) {
        let file = sql.join(path);
        println!("cargo::rerun-if-changed={}", file.display());
        writeln!(out, "    ({path:?}, include_str!({file:?})),").map_err(io::Error::other)?;
    }
    out.push(']');
    let folder = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(folder.join("sql.rs"), out)
}
