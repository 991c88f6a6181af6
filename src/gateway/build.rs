//! Makes sure that there is a page to embed, so that a fresh clone builds without Node.js.

use std::{fs, path::Path};

const PLACEHOLDER: &str = "<!doctype html><title>Castgate</title>\
<p>The studio page is not built: run <code>npm ci &amp;&amp; npm run build</code> in <code>web/</code>, then build the gateway again.</p>\n";

fn main() -> std::io::Result<()> {
    let folder = Path::new("../../web/dist");
    let page = folder.join("index.html");
    if !page.exists() {
        fs::create_dir_all(folder)?;
        fs::write(&page, PLACEHOLDER)?;
    }
    println!("cargo::rerun-if-changed=../../web/dist");
    println!("cargo::rerun-if-changed=build.rs");
    Ok(())
}
