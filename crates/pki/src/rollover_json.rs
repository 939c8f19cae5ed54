//! How a rollover is kept over a restart of the authority.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    Fingerprint, Fqdn, Pace, Phase, Rollover,
    describe::{printable, rfc3339},
    rollover::Progress,
};

/// The form of the record. Another one is refused, not guessed at.
const FORMAT: u32 = 1;

/// A record that cannot be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the record of the root's replacement cannot be read ({detail}); restore it from a backup, or stage the replacement again")]
pub struct RolloverRecordFault {
    detail: String,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: u32,
    old: String,
    new: String,
    emergency: bool,
    phase: WrittenPhase,
    since: String,
    members: Vec<WrittenMember>,
    outstanding: Option<u64>,
    left_behind: Vec<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum WrittenPhase {
    Staged,
    Distributing { sequence: u64 },
    Switching,
    Renewing,
    Retiring,
    Dropping { sequence: u64 },
    Done,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WrittenMember {
    name: String,
    acknowledged: u64,
    renewed: bool,
}

impl Rollover {
    /// The record of it.
    pub fn to_json(&self) -> Result<String, RolloverRecordFault> {
        let member = |(name, progress): (&Fqdn, &Progress)| WrittenMember {
            name: name.to_string(),
            acknowledged: progress.acknowledged,
            renewed: progress.renewed,
        };
        let written = Written {
            format: FORMAT,
            old: self.old.to_string(),
            new: self.new.to_string(),
            emergency: self.pace == Pace::Emergency,
            phase: phase_out(self.phase),
            since: rfc3339(self.since),
            members: self.members.iter().map(member).collect(),
            outstanding: self.outstanding,
            left_behind: self.left_behind.iter().map(Fqdn::to_string).collect(),
        };
        serde_json::to_string(&written).map_err(|error| fault(&error.to_string()))
    }

    /// Reads such a record.
    pub fn from_json(text: &str) -> Result<Self, RolloverRecordFault> {
        let written: Written = serde_json::from_str(text).map_err(|error| fault(&error.to_string()))?;
        if written.format != FORMAT {
            return Err(fault(&format!("its format is {}, known is {FORMAT}", written.format)));
        }
        let member = |member: WrittenMember| {
            let progress = Progress { acknowledged: member.acknowledged, renewed: member.renewed };
            Ok((name(&member.name)?, progress))
        };
        Ok(Self {
            old: digest(&written.old)?,
            new: digest(&written.new)?,
            pace: if written.emergency { Pace::Emergency } else { Pace::Ordinary },
            phase: phase_in(written.phase),
            since: moment(&written.since)?,
            members: written.members.into_iter().map(member).collect::<Result<_, _>>()?,
            outstanding: written.outstanding,
            left_behind: written.left_behind.iter().map(|text| name(text)).collect::<Result<_, _>>()?,
        })
    }
}

fn phase_out(phase: Phase) -> WrittenPhase {
    match phase {
        Phase::Staged => WrittenPhase::Staged,
        Phase::Distributing { sequence } => WrittenPhase::Distributing { sequence },
        Phase::Switching => WrittenPhase::Switching,
        Phase::Renewing => WrittenPhase::Renewing,
        Phase::Retiring => WrittenPhase::Retiring,
        Phase::Dropping { sequence } => WrittenPhase::Dropping { sequence },
        Phase::Done => WrittenPhase::Done,
    }
}

fn phase_in(phase: WrittenPhase) -> Phase {
    match phase {
        WrittenPhase::Staged => Phase::Staged,
        WrittenPhase::Distributing { sequence } => Phase::Distributing { sequence },
        WrittenPhase::Switching => Phase::Switching,
        WrittenPhase::Renewing => Phase::Renewing,
        WrittenPhase::Retiring => Phase::Retiring,
        WrittenPhase::Dropping { sequence } => Phase::Dropping { sequence },
        WrittenPhase::Done => Phase::Done,
    }
}

fn fault(detail: &str) -> RolloverRecordFault {
    RolloverRecordFault { detail: printable(detail) }
}

fn digest(text: &str) -> Result<Fingerprint, RolloverRecordFault> {
    Fingerprint::parse(text).ok_or_else(|| fault("a root in it is no digest"))
}

fn name(text: &str) -> Result<Fqdn, RolloverRecordFault> {
    Fqdn::parse(text).map_err(|error| fault(&error.to_string()))
}

fn moment(text: &str) -> Result<SystemTime, RolloverRecordFault> {
    OffsetDateTime::parse(text, &Rfc3339).map(Into::into).map_err(|_| fault("its moment is none of RFC 3339"))
}
