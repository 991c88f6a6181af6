//! One fake provider on the command line, for demonstrations and for SDKs: every show that is prepared arrives at once.

use std::{env, io, net::SocketAddr, sync::Arc};

use anyhow::{Context, Result, bail};
use fake_providers::{
    FakeSettings, NoMedia,
    cloudflare::{CloudflareQuirks, FakeCloudflare},
    livekit::{API_KEY, API_SECRET, FakeLivekit},
    mux::{FakeMux, MuxQuirks},
    restream::{FakeApiVideo, FakeLivepeer, FakeMediaMtx, FakeOven},
};
use url::Url;

const USAGE: &str = "fake-provider KIND [ADDRESS [WEBHOOKS]]

KIND      livekit, cloudflare, mux, mediamtx, ovenmediaengine, livepeer or api.video
ADDRESS   where it listens; 127.0.0.1:0, which is the default, takes a free port
WEBHOOKS  the URL that its webhooks go to; without it there are none";

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (kind, rest) = arguments.split_first().context(USAGE)?;
    let settings = settings(rest)?;
    match kind.as_str() {
        "livekit" => {
            let fake = FakeLivekit::start(settings).await?;
            let account = format!("{API_KEY} {API_SECRET}\n");
            io::Write::write_all(&mut io::stdout(), account.as_bytes())?;
            serve(fake.base(), &fake).await
        }
        "cloudflare" => {
            let fake = FakeCloudflare::start(&settings, CloudflareQuirks::default()).await?;
            serve(&fake.base(), &fake).await
        }
        "mux" => {
            let fake = FakeMux::start(&settings, MuxQuirks::default()).await?;
            serve(fake.base(), &fake).await
        }
        "mediamtx" => {
            let fake = FakeMediaMtx::start(settings).await?;
            serve(fake.base(), &fake).await
        }
        "ovenmediaengine" => {
            let fake = FakeOven::start(settings).await?;
            serve(&fake.base(), &fake).await
        }
        "livepeer" => {
            let fake = FakeLivepeer::start(settings).await?;
            serve(&fake.base(), &fake).await
        }
        "api.video" => {
            let fake = FakeApiVideo::start(settings).await?;
            serve(fake.base(), &fake).await
        }
        _ => bail!(USAGE),
    }
}

fn settings(arguments: &[String]) -> Result<FakeSettings> {
    let mut settings = FakeSettings {
        media: Arc::new(NoMedia::arriving()),
        ..FakeSettings::default()
    };
    match arguments {
        [] => {}
        [address] => settings.address = parsed(address)?,
        [address, webhooks] => {
            settings.address = parsed(address)?;
            settings.webhooks = Some(Url::parse(webhooks).context(USAGE)?);
        }
        _ => bail!(USAGE),
    }
    Ok(settings)
}

fn parsed(address: &str) -> Result<SocketAddr> {
    address.parse().context(USAGE)
}

/// Says where it is, and keeps it until Ctrl-C.
async fn serve<F>(base: &Url, fake: &F) -> Result<()> {
    io::Write::write_all(&mut io::stdout(), format!("{base}\n").as_bytes())?;
    tokio::signal::ctrl_c().await?;
    // It has served until now.
    let _ = fake;
    Ok(())
}
