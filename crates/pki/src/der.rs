//! Writing the little DER that no library writes for us.

pub(crate) const SEQUENCE: u8 = 0x30;

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
