//! What stands in the branch of our Via: which request it belongs to, and a MAC that nobody else can make.

use aws_lc_rs::{constant_time, hmac};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{Flow, secret::Secret};

/// Our Via branch: `z9hG4bK` and, in base64url, who is meant (context and branch), the loop hash (RFC 5393
/// §4.2.1) and a MAC over both and over the flow the request was sent to. Nobody but that flow can make a
/// response that we look at (row N16).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct BranchId {
    /// The response context's number, below 2^56.
    pub(crate) context: u64,
    /// Which of its branches.
    pub(crate) index: u8,
    /// What routing was decided on.
    pub(crate) route_hash: u64,
}

pub(crate) const COOKIE: &str = "z9hG4bK";
const MAC_LEN: usize = 12;
const LEN: usize = 16 + MAC_LEN;

/// Makes and checks branches.
pub(crate) struct Branches(hmac::Key);

impl Branches {
    pub(crate) fn new(secret: &Secret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.derive("via branch").as_slice()))
    }

    /// Writes the branch of a request that goes to `flow`.
    pub(crate) fn write(&self, id: BranchId, flow: Flow, out: &mut String) {
        let mut bytes = [0; LEN];
        bytes[..16].copy_from_slice(&id.to_bytes());
        bytes[16..].copy_from_slice(&self.mac(&id.to_bytes(), flow));
        out.push_str(COOKIE);
        URL_SAFE_NO_PAD.encode_string(bytes, out);
    }

    /// The branch of a response that came in on `flow`, if it is ours.
    pub(crate) fn verify(&self, branch: &str, flow: Flow) -> Option<BranchId> {
        let bytes = decode(branch)?;
        let (id, mac) = bytes.split_at(16);
        let id: [u8; 16] = id.try_into().ok()?;
        constant_time::verify_slices_are_equal(mac, &self.mac(&id, flow)).ok()?;
        Some(BranchId::from_bytes(id))
    }

    fn mac(&self, id: &[u8; 16], flow: Flow) -> [u8; MAC_LEN] {
        let mut input = [0; 24];
        input[..16].copy_from_slice(id);
        input[16..].copy_from_slice(&flow.0.to_be_bytes());
        let mut mac = [0; MAC_LEN];
        mac.copy_from_slice(&hmac::sign(&self.0, &input).as_ref()[..MAC_LEN]);
        mac
    }
}

/// The loop hash of a branch that claims to be ours. Not verified: who forges one only stops a request of
/// their own.
pub(crate) fn route_hash(branch: &str) -> Option<u64> {
    let bytes = decode(branch)?;
    let id: [u8; 16] = bytes[..16].try_into().ok()?;
    Some(BranchId::from_bytes(id).route_hash)
}

fn decode(branch: &str) -> Option<[u8; LEN]> {
    let mut bytes = [0; LEN];
    let len = URL_SAFE_NO_PAD.decode_slice(branch.strip_prefix(COOKIE)?, &mut bytes).ok()?;
    (len == LEN).then_some(bytes)
}

impl BranchId {
    fn to_bytes(self) -> [u8; 16] {
        let number = self.context << 8 | u64::from(self.index);
        (u128::from(number) << 64 | u128::from(self.route_hash)).to_be_bytes()
    }

    fn from_bytes(bytes: [u8; 16]) -> Self {
        let all = u128::from_be_bytes(bytes);
        let number = (all >> 64) as u64;
        Self { context: number >> 8, index: number as u8, route_hash: all as u64 }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ID: BranchId = BranchId { context: 77, index: 3, route_hash: 0x0123_4567_89ab_cdef };

    fn branches(key: u8) -> Branches {
        Branches::new(&Secret::new(&[key; 32]))
    }

    fn written() -> String {
        let mut out = String::new();
        branches(1).write(ID, Flow(9), &mut out);
        out
    }

    #[test]
    fn our_branch_comes_back() {
        assert_eq!(branches(1).verify(&written(), Flow(9)), Some(ID));
    }

    #[test]
    fn a_branch_is_good_on_its_own_flow_only() {
        assert_eq!(branches(1).verify(&written(), Flow(10)), None);
    }

    #[test]
    fn a_branch_of_another_key_is_nothing() {
        assert_eq!(branches(2).verify(&written(), Flow(9)), None);
    }

    #[test]
    fn no_character_of_a_branch_can_be_changed_or_left_out() {
        let good = written();
        for at in 0..good.len() {
            let other = if good.as_bytes()[at] == b'A' { "B" } else { "A" };
            let changed = [&good[..at], other, &good[at + 1..]].concat();
            assert_eq!(branches(1).verify(&changed, Flow(9)), None, "{at}");
            assert_eq!(branches(1).verify(&good[..at], Flow(9)), None, "{at}");
        }
        assert_eq!(branches(1).verify(&(good + "A"), Flow(9)), None);
    }
}
