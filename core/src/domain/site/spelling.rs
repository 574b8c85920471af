//! The one spelling of a part of an address: NFC, then UTF-8 in percents of upper case (RFC 3986, section 6.2.2; RFC 3987,
//! section 3.1). Which parts an address has is `permalink`'s.

use unicode_normalization::UnicodeNormalization;

use super::permalink::AddressRefused;

/// What stands for itself in a path beside letters and digits (RFC 3986, section 3.3).
pub(super) const PATH_PLAIN: &[u8] = b"-._~!$&'()*+,;=:@/";
/// And in a query (section 3.4).
pub(super) const QUERY_PLAIN: &[u8] = b"-._~!$&'()*+,;=:@/?";
const UNRESERVED: &[u8] = b"-._~";

/// A part of an address in its canonical form: what is coded without need is decoded, NFC, and coded again. A code of a
/// character that would divide the address stays a code, since the character itself means something else.
pub(super) fn canonical(part: &str, plain: &[u8]) -> Result<String, AddressRefused> {
    let (mut canonical, mut text) = (String::with_capacity(part.len()), Vec::new());
    let mut bytes = part.bytes().enumerate();
    while let Some((place, byte)) = bytes.next() {
        if byte != b'%' {
            text.push(byte);
            continue;
        }
        let code = part.get(place..place + 3).and_then(|code| u8::from_str_radix(&code[1..], 16).ok());
        let stray = || AddressRefused::StrayPercent(part[place..].chars().take(3).collect());
        let code = code.filter(|_| part.as_bytes()[place + 1..place + 3].iter().all(u8::is_ascii_hexdigit));
        let code = code.ok_or_else(stray)?;
        bytes.nth(1);
        if code == b'%' && is_code(part.as_bytes().get(place + 3..place + 5)) {
            return Err(AddressRefused::EncodedTwice(part[place..place + 5].to_owned()));
        }
        if code < 0x20 || code == 0x7f {
            return Err(AddressRefused::Forbidden(char::from(code)));
        }
        if code.is_ascii() && !code.is_ascii_alphanumeric() && !UNRESERVED.contains(&code) {
            push_text(&mut canonical, &mut text, plain)?;
            push_code(&mut canonical, code);
        } else {
            text.push(code);
        }
    }
    push_text(&mut canonical, &mut text, plain)?;
    Ok(canonical)
}

fn is_code(bytes: Option<&[u8]>) -> bool {
    bytes.is_some_and(|bytes| bytes.iter().all(u8::is_ascii_hexdigit))
}

fn push_text(canonical: &mut String, text: &mut Vec<u8>, plain: &[u8]) -> Result<(), AddressRefused> {
    let bytes = std::mem::take(text);
    let decoded = String::from_utf8(bytes).map_err(|error| {
        let bad = error.as_bytes().iter().filter(|byte| !byte.is_ascii()).take(4);
        AddressRefused::NotUtf8(bad.map(|byte| format!("%{byte:02X}")).collect())
    })?;
    for char in decoded.nfc() {
        if char.is_control() || char == '\\' || char.is_whitespace() && char != ' ' {
            return Err(AddressRefused::Forbidden(char));
        }
        let mut buffer = [0; 4];
        for byte in char.encode_utf8(&mut buffer).bytes() {
            match byte.is_ascii_alphanumeric() || plain.contains(&byte) {
                true => canonical.push(char::from(byte)),
                false => push_code(canonical, byte),
            }
        }
    }
    Ok(())
}

fn push_code(canonical: &mut String, byte: u8) {
    canonical.push_str(&format!("%{byte:02X}"));
}
