//! The ledger in Redis 6.2 or newer: one server, a master that sentinels know, or a cluster.

mod address;
mod board;
mod connection;

use std::fmt;

use async_trait::async_trait;
use redis::{Script, Value};

use self::{address::Address, connection::Line};
use crate::{
    Adopted, Claim, ClaimError, Cores, Epoch, Fence, Fleet, KeyError, Known, LedgerError, NodeId,
    NodeReport, Orphan, Registry, RegistryError, Reservation, Times, Why, Wish,
    ends::MEMORY_OF_THE_ENDED,
    ledger::{MEMORY_OF_THE_DEAD, ORPHANS_LIMIT},
};

/// The oldest server whose scripts replicate what they did and not themselves, and that Debian 11 has: 6.0 is older.
const OLDEST: (u32, u32) = (6, 0);

/// What all keys begin with. The braces keep them in one slot of a cluster.
const ROOT: &str = "{castgate}";

/// A registry in Redis. Its steps are one script each, so that nothing comes between.
pub struct RedisRegistry {
    line: Line,
    script: Script,
    root: String,
    times: Times,
}

impl fmt::Debug for RedisRegistry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RedisRegistry")
            .finish_non_exhaustive()
    }
}

/// The words of an answer, each text or bytes.
struct Answer(std::vec::IntoIter<Vec<u8>>);

impl Answer {
    fn read(value: Value) -> Result<(String, Self), RegistryError> {
        let words: Vec<Vec<u8>> = redis::from_redis_value(value).map_err(|_| strange())?;
        let mut answer = Self(words.into_iter());
        Ok((answer.text()?, answer))
    }

    fn bytes(&mut self) -> Result<Vec<u8>, RegistryError> {
        self.0.next().ok_or_else(strange)
    }

    fn text(&mut self) -> Result<String, RegistryError> {
        String::from_utf8(self.bytes()?).map_err(|_| strange())
    }

    fn number(&mut self) -> Result<u64, RegistryError> {
        self.text()?.parse().map_err(|_| strange())
    }

    fn count(&mut self) -> Result<usize, RegistryError> {
        usize::try_from(self.number()?).map_err(|_| strange())
    }

    fn node(&mut self) -> Result<NodeId, RegistryError> {
        NodeId::new(self.text()?).map_err(|_| strange())
    }
}

fn strange() -> RegistryError {
    RegistryError::Unavailable("the registry's answer makes no sense".to_owned())
}

impl RedisRegistry {
    /// Reads a URL without connecting.
    ///
    /// # Errors
    /// Says what is wrong with it, without the URL, which holds a password.
    pub fn check(url: &str) -> Result<(), String> {
        Address::parse(url).map(drop)
    }

    /// Connects, and makes sure that the server can be used.
    pub async fn connect(url: &str, times: Times) -> Result<Self, RegistryError> {
        Self::connect_under(url, ROOT, times).await
    }

    /// The same with other names for its keys: what two fleets on one server need. `root` holds a hash tag.
    pub async fn connect_under(url: &str, root: &str, times: Times) -> Result<Self, RegistryError> {
        let address = Address::parse(url).map_err(RegistryError::Unusable)?;
        let line = Line::new(address);
        let (major, minor) = line.version().await?;
        if (major, minor) < OLDEST {
            let (needs, or) = OLDEST;
            return Err(RegistryError::Unusable(format!(
                "it is Redis {major}.{minor}; {needs}.{or} or newer is needed"
            )));
        }
        Ok(Self {
            line,
            script: Script::new(include_str!("registry.lua")),
            root: root.to_owned(),
            times,
        })
    }

    async fn step(
        &self,
        step: &str,
        arguments: &[&[u8]],
    ) -> Result<(String, Answer), RegistryError> {
        let mut all = vec![step.as_bytes()];
        all.extend_from_slice(arguments);
        Answer::read(self.line.run(&self.script, &self.root, &all).await?)
    }

    async fn report(
        &self,
        step: &str,
        report: &NodeReport,
        epoch: Option<Epoch>,
    ) -> Result<(String, Answer), RegistryError> {
        let json = serde_json::to_vec(report).map_err(|_| strange())?;
        let life = self.times.node.as_millis().to_string();
        let taken = report.taken.millionths().to_string();
        let capacity = report.capacity.millionths().to_string();
        let epoch = epoch.map_or_else(String::new, |Epoch(number)| number.to_string());
        let region = report.region.as_deref().unwrap_or_default();
        let draining = if report.draining { "1" } else { "0" };
        let arguments: [&[u8]; 9] = [
            report.id.as_str().as_bytes(),
            life.as_bytes(),
            report.instance.as_bytes(),
            &json,
            taken.as_bytes(),
            capacity.as_bytes(),
            draining.as_bytes(),
            region.as_bytes(),
            epoch.as_bytes(),
        ];
        self.step(step, &arguments).await
    }
}

/// What the word of a refused claim means.
fn refusal(word: &str, answer: &mut Answer) -> RegistryError {
    match word {
        "held" => match answer.node() {
            Ok(node) => ClaimError::Held(node).into(),
            Err(error) => error,
        },
        "orphaned" => ClaimError::Orphaned.into(),
        "fenced" => ClaimError::Fenced.into(),
        "not_registered" => ClaimError::NotRegistered.into(),
        "forgotten" => ClaimError::Forgotten.into(),
        _ => strange(),
    }
}

fn text(number: u64) -> String {
    number.to_string()
}

fn adopted(word: &str, mut answer: Answer) -> Result<Adopted, RegistryError> {
    if word != "ok" {
        return Err(refusal(word, &mut answer));
    }
    Ok(Adopted {
        fence: Fence(answer.number()?),
        state: answer.bytes()?,
    })
}

fn done(word: &str, mut answer: Answer) -> Result<(), RegistryError> {
    if word == "ok" {
        Ok(())
    } else {
        Err(refusal(word, &mut answer))
    }
}

fn key_taken(word: &str, mut answer: Answer) -> Result<(), RegistryError> {
    match word {
        "ok" => Ok(()),
        "key_held" => Err(KeyError::Held(answer.text()?).into()),
        "retelling" => Err(KeyError::Retelling.into()),
        // The same faults as in the ledger, in the same words.
        _ => match refusal(word, &mut answer) {
            RegistryError::Claim(error) => Err(KeyError::Claim(error).into()),
            error => Err(error),
        },
    }
}

#[async_trait]
impl Registry for RedisRegistry {
    async fn register(&self, report: &NodeReport) -> Result<Epoch, RegistryError> {
        let (word, mut answer) = self.report("register", report, None).await?;
        match word.as_str() {
            "ok" => Ok(Epoch(answer.number()?)),
            "name_taken" => Err(LedgerError::NameTaken(report.id.clone()).into()),
            _ => Err(strange()),
        }
    }

    async fn heartbeat(&self, report: &NodeReport, epoch: Epoch) -> Result<Known, RegistryError> {
        let (word, mut answer) = self.report("heartbeat", report, Some(epoch)).await?;
        match word.as_str() {
            "ok" => Ok(Known {
                was_alive: answer.number()? == 1,
                held: answer.count()?,
            }),
            "superseded" => Err(LedgerError::Superseded(report.id.clone()).into()),
            _ => Err(strange()),
        }
    }

    async fn held_by(
        &self,
        node: &NodeId,
        Epoch(epoch): Epoch,
    ) -> Result<Vec<String>, RegistryError> {
        let epoch = text(epoch);
        let arguments = [node.as_str(), &epoch].map(str::as_bytes);
        let (_, mut answer) = self.step("held_by", &arguments).await?;
        let mut held = Vec::new();
        while let Ok(broadcast) = answer.text() {
            held.push(broadcast);
        }
        Ok(held)
    }

    async fn leave(&self, node: &NodeId, Epoch(epoch): Epoch) -> Result<(), RegistryError> {
        let arguments = [node.as_str().as_bytes(), text(epoch).as_bytes()].map(<[u8]>::to_vec);
        let arguments: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
        self.step("leave", &arguments).await.map(drop)
    }

    async fn fleet(&self) -> Result<Fleet, RegistryError> {
        let memory = text(MEMORY_OF_THE_DEAD.as_secs() + self.times.node.as_secs());
        let (_, mut answer) = self.step("nodes", &[memory.as_bytes()]).await?;
        let size = answer.count()?;
        let mut alive = Vec::new();
        while let Ok(json) = answer.bytes() {
            let kept = Cores::of_millionths(answer.number()?);
            // A node of another version may tell what this one does not understand; it is not chosen then.
            if let Ok(mut report) = serde_json::from_slice::<NodeReport>(&json) {
                report.taken = report.taken + kept;
                alive.push(report);
            }
        }
        alive.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Ok(Fleet { alive, size })
    }

    async fn reserve(
        &self,
        wish: &Wish,
        candidates: &[NodeId],
    ) -> Result<Reservation, RegistryError> {
        let cost = text(wish.cost.millionths());
        let life = self.times.reservation.as_millis().to_string();
        let mut arguments: Vec<&[u8]> = vec![
            wish.broadcast.as_bytes(),
            cost.as_bytes(),
            wish.region.as_deref().unwrap_or_default().as_bytes(),
            life.as_bytes(),
        ];
        arguments.extend(candidates.iter().map(|node| node.as_str().as_bytes()));
        let (word, mut answer) = self.step("reserve", &arguments).await?;
        match word.as_str() {
            "lives" => Ok(Reservation {
                node: answer.node()?,
                why: Why::LivesThere,
            }),
            "ok" => {
                let node = answer.node()?;
                let free = Cores::of_millionths(answer.number()?);
                let region = answer.text()?;
                let in_region = wish.region.as_ref().map(|wished| *wished == region);
                Ok(Reservation {
                    node,
                    why: Why::MostRoom { free, in_region },
                })
            }
            "full" => Err(LedgerError::Full.into()),
            _ => Err(strange()),
        }
    }

    async fn claim(
        &self,
        broadcast: &str,
        node: &NodeId,
        Epoch(epoch): Epoch,
    ) -> Result<Claim, RegistryError> {
        let epoch = text(epoch);
        let arguments = [broadcast, node.as_str(), &epoch].map(str::as_bytes);
        let (word, mut answer) = self.step("claim", &arguments).await?;
        if word == "ok" {
            Ok(Claim {
                fence: Fence(answer.number()?),
            })
        } else {
            Err(refusal(&word, &mut answer))
        }
    }

    async fn reclaim(
        &self,
        broadcast: &str,
        node: &NodeId,
        Epoch(epoch): Epoch,
        Fence(fence): Fence,
        state: Vec<u8>,
    ) -> Result<(), RegistryError> {
        let (epoch, fence) = (text(epoch), text(fence));
        let arguments: [&[u8]; 5] = [
            broadcast.as_bytes(),
            node.as_str().as_bytes(),
            epoch.as_bytes(),
            fence.as_bytes(),
            &state,
        ];
        let (word, answer) = self.step("reclaim", &arguments).await?;
        done(&word, answer)
    }

    async fn save(
        &self,
        broadcast: &str,
        Fence(fence): Fence,
        state: Vec<u8>,
    ) -> Result<(), RegistryError> {
        let fence = text(fence);
        let arguments: [&[u8]; 3] = [broadcast.as_bytes(), fence.as_bytes(), &state];
        let (word, answer) = self.step("save", &arguments).await?;
        done(&word, answer)
    }

    async fn release(&self, broadcast: &str, Fence(fence): Fence) -> Result<(), RegistryError> {
        let (fence, memory) = (text(fence), text(MEMORY_OF_THE_ENDED.as_secs()));
        let arguments = [broadcast, &fence, &memory].map(str::as_bytes);
        self.step("release", &arguments).await.map(drop)
    }

    async fn holder(&self, broadcast: &str) -> Result<Option<(NodeId, Fence)>, RegistryError> {
        let (word, mut answer) = self.step("holder", &[broadcast.as_bytes()]).await?;
        if word == "ok" {
            Ok(Some((answer.node()?, Fence(answer.number()?))))
        } else {
            Ok(None)
        }
    }

    async fn orphans(&self) -> Result<Vec<Orphan>, RegistryError> {
        let limit = ORPHANS_LIMIT.to_string();
        let (_, mut answer) = self.step("orphans", &[limit.as_bytes()]).await?;
        let mut orphans = Vec::new();
        while let Ok(broadcast) = answer.text() {
            orphans.push(Orphan {
                broadcast,
                node: answer.node()?,
                fence: Fence(answer.number()?),
            });
        }
        Ok(orphans)
    }

    async fn adopt(
        &self,
        orphan: &Orphan,
        node: &NodeId,
        Epoch(epoch): Epoch,
    ) -> Result<Adopted, RegistryError> {
        let (fence, epoch) = (text(orphan.fence.0), text(epoch));
        let arguments = [&orphan.broadcast, &fence, node.as_str(), &epoch].map(str::as_bytes);
        let (word, answer) = self.step("adopt", &arguments).await?;
        adopted(&word, answer)
    }

    async fn hand_over(
        &self,
        broadcast: &str,
        Fence(fence): Fence,
        to: &NodeId,
    ) -> Result<Adopted, RegistryError> {
        let fence = text(fence);
        let arguments = [broadcast, &fence, to.as_str()].map(str::as_bytes);
        let (word, answer) = self.step("hand_over", &arguments).await?;
        adopted(&word, answer)
    }

    async fn take_key(
        &self,
        key: [u8; 32],
        broadcast: &str,
        Fence(fence): Fence,
    ) -> Result<(), RegistryError> {
        let (key, fence) = (hex(key), text(fence));
        let quiet = self.times.node.as_millis().to_string();
        let arguments = [&key, broadcast, &fence, &quiet].map(str::as_bytes);
        let (word, answer) = self.step("take_key", &arguments).await?;
        key_taken(&word, answer)
    }

    async fn retell_key(
        &self,
        key: [u8; 32],
        broadcast: &str,
        Fence(fence): Fence,
    ) -> Result<(), RegistryError> {
        let (key, fence) = (hex(key), text(fence));
        let arguments = [&key, broadcast, &fence].map(str::as_bytes);
        let (word, answer) = self.step("take_key", &arguments).await?;
        key_taken(&word, answer)
    }

    async fn give_back_key(
        &self,
        key: [u8; 32],
        broadcast: &str,
        Fence(fence): Fence,
    ) -> Result<(), RegistryError> {
        let (key, fence) = (hex(key), text(fence));
        let arguments = [&key, broadcast, &fence].map(str::as_bytes);
        self.step("give_back_key", &arguments).await.map(drop)
    }
}

fn hex(key: [u8; 32]) -> String {
    use fmt::Write as _;

    key.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
