//! A response on its way back: what it means for its branch and what the caller hears of it.

use std::time::Instant;

use sip::{Message, Name, Status, sdp::Unprotected};

use crate::{
    MediaPolicy,
    client::{BranchState, Cancel, Why},
    context::{Context, Fate, State},
    desk::Desk,
    request,
    response::{self, Best},
};

/// Methods whose bodies open no medium. All others may: of INVITE, ACK, PRACK and UPDATE the standard says so (RFC 3261
/// §13.2.1, 3262 §5, 3311 §5), and a method we do not know may be one of them to a phone that reads names loosely.
const WITHOUT_MEDIA: [&str; 10] = ["BYE", "CANCEL", "INFO", "MESSAGE", "NOTIFY", "OPTIONS", "PUBLISH", "REFER", "REGISTER", "SUBSCRIBE"];

/// A response on the branch it belongs to.
pub(crate) struct Incoming<'m> {
    pub(crate) message: &'m Message,
    pub(crate) status: Status,
    pub(crate) index: usize,
}

impl Incoming<'_> {
    /// What becomes of it, and of the context.
    pub(crate) fn reach(&self, context: &mut Context, desk: &mut Desk, now: Instant) -> Fate {
        let method = self.message.method();
        if method == "CANCEL" && context.is_invite {
            // The answer to a CANCEL of ours says nothing about the INVITE.
            return Fate::Stays;
        }
        let Some(branch) = context.branches.get(self.index) else { return Fate::Stays };
        let asked = if context.is_invite {
            method == "INVITE"
        } else {
            context.request.strip_prefix(method.as_bytes()).is_some_and(|rest| rest.starts_with(b" "))
        };
        if !asked {
            desk.counters.stray_responses += 1;
            return Fate::Stays;
        }
        match (branch.state, self.status.class()) {
            (BranchState::Calling | BranchState::Proceeding, 1) => self.provisional(context, desk, now),
            (BranchState::Calling | BranchState::Proceeding, 2) if context.is_invite => self.answered(context, desk, now),
            (BranchState::Calling | BranchState::Proceeding, 2) => self.done(context, desk, now),
            (BranchState::Calling | BranchState::Proceeding, _) => self.failed(context, desk, now),
            (BranchState::Accepted | BranchState::Looking | BranchState::Abandoned | BranchState::Done, 2) if context.is_invite => {
                self.answered(context, desk, now)
            }
            (BranchState::Abandoned, 1) => self.woke_up(context, desk, now),
            (BranchState::Abandoned, _) => {
                context.acknowledge(self.index, self.message, desk);
                context.branches[self.index].state = BranchState::Done;
                Fate::Stays
            }
            (BranchState::Accepted | BranchState::Looking | BranchState::Done, _) => {
                desk.counters.stray_responses += 1;
                Fate::Stays
            }
        }
    }

    fn is_by_phone(&self, context: &Context) -> bool {
        context.branches.get(self.index).is_none_or(|branch| !branch.is_to_server())
    }

    /// A server that nothing was heard of for too long works on the call after all, while another one does.
    fn woke_up(&self, context: &mut Context, desk: &mut Desk, now: Instant) -> Fate {
        if context.branches[self.index].cancel != Cancel::Sent {
            context.send_cancel(self.index, Why::GivenUp, desk, now);
        }
        Fate::Stays
    }

    fn provisional(&self, context: &mut Context, desk: &mut Desk, now: Instant) -> Fate {
        context.handle_provisional(self.index, self.status, desk, now);
        if self.status == Status::TRYING || context.state != State::Proceeding || context.cancelled {
            return Fate::Stays;
        }
        if self.message.first(Name::RSeq).is_some() && self.leaves_our_way(context, desk) {
            // A reliable one is answered at once, along the way it names.
            desk.counters.detours += 1;
            return Fate::Stays;
        }
        match check_media(desk.settings.media, self.message) {
            Ok(()) if context.told > desk.settings.limits.told_bytes_max => desk.counters.stray_responses += 1,
            Ok(()) => context.respond(response::forwarded(self.message, self.is_by_phone(context)), desk),
            // What rings still rings: the caller's 180 comes without a body, or not at all.
            Err(_) => desk.counters.unprotected_provisionals += 1,
        }
        Fate::Stays
    }

    /// A 2xx to an INVITE: all of them go to the caller (RFC 6026 §8.7), unless there is none or they must not
    /// have it.
    fn answered(&self, context: &mut Context, desk: &mut Desk, now: Instant) -> Fate {
        if let Err(why) = check_media(desk.settings.media, self.message) {
            desk.counters.unprotected_answers += 1;
            let best = Best::unprotected(self.refusal(context), why);
            return self.take_back(context, best, "SIP;cause=488;text=\"Media must be encrypted\"", desk, now);
        }
        if self.leaves_our_way(context, desk) {
            desk.counters.detours += 1;
            let best = Best::own(Status::BAD_GATEWAY);
            return self.take_back(context, best, "SIP;cause=502;text=\"The answer leaves out the way the call came\"", desk, now);
        }
        if matches!(context.state, State::Accepted(_)) && context.told > desk.settings.limits.told_bytes_max {
            desk.counters.stray_responses += 1;
            return Fate::Stays;
        }
        let given_up = [BranchState::Done, BranchState::Looking, BranchState::Abandoned];
        let given_up = context.branches.get(self.index).is_none_or(|branch| given_up.contains(&branch.state));
        if given_up || context.caller_gone || matches!(context.state, State::Completed(_)) {
            desk.counters.late_answers += 1;
            context.hang_up(self.index, self.message, "SIP;cause=487;text=\"Nobody waits for this call any more\"", desk);
            context.branches[self.index].state = BranchState::Done;
            return context.conclude(desk, now);
        }
        context.accept(self.index, response::forwarded(self.message, self.is_by_phone(context)), desk, now)
    }

    /// Whether a 2xx takes later requests of its dialog past us: nearest to the caller must stand what we wrote for it.
    /// Else the callee decides where the caller's phone goes, and over which transport (P2).
    fn leaves_our_way(&self, context: &Context, desk: &Desk) -> bool {
        let Some(way) = context.branches.get(self.index).and_then(|branch| branch.way) else { return false };
        let above = self.message.list(Name::RecordRoute).count().checked_sub(context.recorded + 1);
        let found = above.and_then(|at| self.message.addresses(Name::RecordRoute).nth(at)).and_then(Result::ok);
        found.is_none_or(|found| request::way(&found.uri, &desk.seed) != way)
    }

    /// An answer that the caller must not have: the callee is hung up, and for the caller this branch has failed.
    fn take_back(&self, context: &mut Context, best: Best, reason: &str, desk: &mut Desk, now: Instant) -> Fate {
        context.hang_up(self.index, self.message, reason, desk);
        let was_pending = context.branches[self.index].is_pending();
        context.branches[self.index].state = BranchState::Done;
        if was_pending {
            context.consider(best, desk);
        }
        context.conclude(desk, now)
    }

    /// 488; within a dialog 481, since the other side of it was just hung up (RFC 3261 §12.2.1.2).
    fn refusal(&self, context: &Context) -> Status {
        let in_dialog = context.message().is_some_and(|request| request.to().is_ok_and(|to| to.tag().is_some()));
        if in_dialog && context.is_invite { Status::CALL_DOES_NOT_EXIST } else { Status::NOT_ACCEPTABLE_HERE }
    }

    /// A 2xx to anything else: it is the final response.
    fn done(&self, context: &mut Context, desk: &mut Desk, now: Instant) -> Fate {
        if let Err(why) = check_media(desk.settings.media, self.message) {
            desk.counters.unprotected_answers += 1;
            context.branches[self.index].state = BranchState::Done;
            context.consider(Best::unprotected(Status::NOT_ACCEPTABLE_HERE, why), desk);
            return context.conclude(desk, now);
        }
        context.respond(response::forwarded(self.message, self.is_by_phone(context)), desk);
        Fate::Ends
    }

    fn failed(&self, context: &mut Context, desk: &mut Desk, now: Instant) -> Fate {
        if context.is_invite {
            context.acknowledge(self.index, self.message, desk);
        }
        let heard = context.branches[self.index].rung;
        if self.status == Status::SERVICE_UNAVAILABLE && !heard && context.looks_on(self.index, desk) {
            return context.conclude(desk, now);
        }
        context.branches[self.index].state = BranchState::Done;
        context.consider(Best::received(self.status, self.message, self.is_by_phone(context), desk.settings.limits.challenges_max), desk);
        if self.status.class() == 6 {
            context.cancel_all(Why::Declined, desk, now);
        }
        context.conclude(desk, now)
    }
}

/// Whether a body may pass under this policy.
pub(crate) fn check_media(policy: MediaPolicy, message: &Message) -> Result<(), Unprotected> {
    match policy {
        MediaPolicy::Require if !WITHOUT_MEDIA.contains(&message.method()) && !message.body().is_empty() => sip::sdp::check(message),
        MediaPolicy::Require | MediaPolicy::Support => Ok(()),
    }
}
