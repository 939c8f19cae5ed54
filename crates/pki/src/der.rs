//! The few lines of DER (X.690) that no library writes for us.

/// `SEQUENCE`
pub(crate) const SEQUENCE: u8 = 0x30;
/// `INTEGER`
pub(crate) const INTEGER: u8 = 0x02;
/// `NULL`
pub(crate) const NULL: u8 = 0x05;
/// `OBJECT IDENTIFIER`
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
/// GeneralName: `[2] IA5String`.
pub(crate) const DNS_NAME: u8 = 0x82;
/// GeneralName: `[6] IA5String`.
pub(crate) const URI: u8 = 0x86;
/// GeneralName: `[7] OCTET STRING`.
pub(crate) const IP_ADDRESS: u8 = 0x87;
/// `[0]` and `[1]`, constructed.
pub(crate) const CONTEXT_0: u8 = 0xa0;
/// See [`CONTEXT_0`].
pub(crate) const CONTEXT_1: u8 = 0xa1;

/// Tag, length, content (X.690 §8.1).
pub(crate) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut out = vec![tag];
    match *length {
        [] => out.push(0),
        [short] if short < 0x80 => out.push(short),
        // At most eight octets of length, so this fits.
        _ => {
            out.push(0x80 | u8::try_from(length.len()).unwrap_or(0));
            out.extend(length);
        }
    }
    out.extend(content);
    out
}

/// A whole number that is not negative, from its octets, highest first (X.690 §8.3).
pub(crate) fn unsigned(octets: &[u8]) -> Vec<u8> {
    let start = octets.iter().position(|octet| *octet != 0).unwrap_or(octets.len());
    let digits = &octets[start..];
    let positive = digits.first().is_none_or(|first| first & 0x80 != 0);
    let content: Vec<u8> = positive.then_some(0).into_iter().chain(digits.iter().copied()).collect();
    element(INTEGER, &content)
}

/// Takes one element with this tag off the front: its content, and what follows. Lengths in the
/// shortest form only, as DER has them (X.690 §10.1).
pub(crate) fn take(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match *first {
        short @ 0..=0x7f => (usize::from(short), rest),
        0x81 => rest.split_first().map(|(length, rest)| (usize::from(*length), rest)).filter(|(length, _)| *length >= 0x80)?,
        // Nothing that is read here is that long.
        _ => return None,
    };
    (*found == tag).then_some(())?;
    rest.split_at_checked(length)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_their_shortest_form() {
        assert_eq!(element(SEQUENCE, &[]), [0x30, 0]);
        assert_eq!(element(SEQUENCE, &[7; 127])[..2], [0x30, 127]);
        assert_eq!(element(SEQUENCE, &[7; 128])[..3], [0x30, 0x81, 128]);
        assert_eq!(element(SEQUENCE, &[7; 256])[..4], [0x30, 0x82, 1, 0]);
    }

    #[test]
    fn whole_numbers_are_positive_and_short() {
        assert_eq!(unsigned(&[0, 0]), [2, 1, 0]);
        assert_eq!(unsigned(&[0, 0x7f]), [2, 1, 0x7f]);
        assert_eq!(unsigned(&[0x80]), [2, 2, 0, 0x80]);
    }

    #[test]
    fn what_was_written_is_taken_and_nothing_else() {
        for length in [0usize, 1, 127, 128, 255] {
            let written = [element(SEQUENCE, &vec![7; length]), vec![9]].concat();
            assert_eq!(take(SEQUENCE, &written), Some((&vec![7; length][..], &[9][..])));
        }
        for bad in [&[][..], &[0x30], &[0x30, 1], &[0x31, 0], &[0x30, 0x81, 1, 7], &[0x30, 0x80, 0, 0], &[0x30, 0x82, 0, 1, 7]] {
            assert_eq!(take(SEQUENCE, bad), None, "{bad:?}");
        }
    }
}
