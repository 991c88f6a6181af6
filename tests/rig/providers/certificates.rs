//! A certificate authority of a test's own, and a certificate for `localhost` by it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

/// What the certificate is for.
const EXTENSIONS: &str = "subjectAltName=DNS:localhost,IP:127.0.0.1
basicConstraints=CA:FALSE
extendedKeyUsage=serverAuth
";

/// Files in PEM.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// Who vouches: what a client has to trust.
    pub authority: PathBuf,
    /// For `localhost` and `127.0.0.1`.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Certificates {
    /// Makes them in a folder, good for two days.
    pub async fn make(folder: &Path) -> Result<Self> {
        let file = |name: &str| folder.join(name);
        fs::write(file("extensions"), EXTENSIONS)?;
        openssl(
            folder,
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=castgate-test \
             -addext basicConstraints=critical,CA:TRUE -keyout authority.key -out authority.pem",
        )
        .await?;
        openssl(
            folder,
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost \
             -keyout server.key -out server.csr",
        )
        .await?;
        openssl(
            folder,
            "x509 -req -in server.csr -CA authority.pem -CAkey authority.key -CAcreateserial -days 2 \
             -extfile extensions -out server.pem",
        )
        .await?;
        Ok(Self {
            authority: file("authority.pem"),
            certificate: file("server.pem"),
            key: file("server.key"),
        })
    }
}

async fn openssl(folder: &Path, arguments: &str) -> Result<()> {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .output()
        .await
        .context("openssl")?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "openssl {arguments}: {words}");
    Ok(())
}
