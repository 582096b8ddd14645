//! How long bytes take over a lane. Wires, codes and paper are computed from the figures of `spec/frame.md`;
//! whoever has measured a lane believes the measurement.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Below this a wire is a serial line: ten bits a byte, small datagrams.
const SERIAL_BPS_MAX: u64 = 1_000_000;
/// What each datagram holds besides its symbol, and how long symbols are.
const SERIAL: Datagram = Datagram { symbol_bytes: 256, other_bytes: 60, bits_per_byte: 10 };
const NETWORK: Datagram = Datagram { symbol_bytes: 1_280, other_bytes: 100, bits_per_byte: 8 };
/// Repair symbols besides each hundred.
const REPAIR_PERCENT: u64 = 10;
/// An animated code: bytes of a frame's symbol, frames a second, and how many of a hundred a camera catches.
const QR_SYMBOL_BYTES: u64 = 944;
const QR_FRAMES_PER_SECOND: u64 = 12;
const QR_CAUGHT_PERCENT: u64 = 75;
/// A printed code, how many of them stand on a sheet of A4, and repair besides each hundred.
const PAPER_SYMBOL_BYTES: u64 = 520;
const PAPER_CODES_PER_SHEET: u64 = 12;
const PAPER_REPAIR_PERCENT: u64 = 20;
/// What a person with a scanner reads in a minute.
const PAPER_CODES_PER_MINUTE: u64 = 20;
/// Writing a stick and reading it back.
const STICK_BYTES_PER_SECOND: u64 = 5_000_000;

/// A datagram's shape.
struct Datagram {
    symbol_bytes: u64,
    other_bytes: u64,
    bits_per_byte: u64,
}

/// What carries bundles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// A diode or serial line of so many bits a second.
    Wire {
        /// Bits a second.
        bps: u64,
    },
    /// A stick that a person carries.
    Stick,
    /// Animated QR codes.
    Qr,
    /// QR codes on paper.
    Sheets,
}

/// What is no lane.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no lane: say 9600bps, 100kbps, 10Mbps, stick, qr or sheets")]
pub struct NoLane(String);

impl Lane {
    /// Whether a person brings it, rather than a wire that is always there.
    pub fn is_carried(self) -> bool {
        matches!(self, Lane::Stick | Lane::Sheets)
    }

    /// Whether this release can carry bundles so; the other figures are computed.
    pub fn is_built(self) -> bool {
        self == Lane::Stick
    }

    /// Seconds that a bundle keeps the lane busy, rounded up.
    pub fn seconds(self, bytes: u64) -> u64 {
        match self {
            Lane::Wire { bps } => {
                let datagram = if bps < SERIAL_BPS_MAX { SERIAL } else { NETWORK };
                let symbols = with_repair(bytes.div_ceil(datagram.symbol_bytes), REPAIR_PERCENT);
                let bytes = symbols * (datagram.symbol_bytes + datagram.other_bytes);
                (bytes * datagram.bits_per_byte).div_ceil(bps)
            }
            Lane::Stick => bytes.div_ceil(STICK_BYTES_PER_SECOND),
            Lane::Qr => {
                let frames = frames(bytes) * 100 / QR_CAUGHT_PERCENT;
                frames.div_ceil(QR_FRAMES_PER_SECOND)
            }
            Lane::Sheets => (codes(bytes) * 60).div_ceil(PAPER_CODES_PER_MINUTE),
        }
    }
}

/// Frames of an animated code that a camera has to catch.
pub fn frames(bytes: u64) -> u64 {
    // Two symbols more than there are bytes for: then the decoder fails once in seven million times.
    bytes.div_ceil(QR_SYMBOL_BYTES) + 2
}

/// Sheets of paper.
pub fn sheets(bytes: u64) -> u64 {
    codes(bytes).div_ceil(PAPER_CODES_PER_SHEET)
}

fn codes(bytes: u64) -> u64 {
    with_repair(bytes.div_ceil(PAPER_SYMBOL_BYTES), PAPER_REPAIR_PERCENT)
}

fn with_repair(symbols: u64, percent: u64) -> u64 {
    symbols + (symbols * percent).div_ceil(100)
}

impl FromStr for Lane {
    type Err = NoLane;

    fn from_str(text: &str) -> Result<Lane, NoLane> {
        let wire = |digits: &str, factor: u64| {
            let bps = digits.trim().parse::<u64>().ok().and_then(|count| count.checked_mul(factor));
            // Up to a hundred gigabits: beyond that, nobody asks whether it fits.
            let bps = bps.filter(|bps| (1..=100_000_000_000).contains(bps));
            bps.map(|bps| Lane::Wire { bps }).ok_or_else(|| NoLane(text.chars().take(40).collect()))
        };
        let units = [("Gbps", 1_000_000_000), ("Mbps", 1_000_000), ("kbps", 1_000), ("bps", 1)];
        match text {
            "stick" => Ok(Lane::Stick),
            "qr" => Ok(Lane::Qr),
            "sheets" => Ok(Lane::Sheets),
            _ => match units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor))) {
                Some((digits, factor)) => wire(digits, factor),
                None => Err(NoLane(text.chars().take(40).collect())),
            },
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lane::Wire { bps } if bps.is_multiple_of(1_000_000) => write!(f, "{}Mbps", bps / 1_000_000),
            Lane::Wire { bps } => write!(f, "{bps}bps"),
            Lane::Stick => f.write_str("stick"),
            Lane::Qr => f.write_str("qr"),
            Lane::Sheets => f.write_str("sheets"),
        }
    }
}

impl Serialize for Lane {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_spelled_as_people_say_them() {
        for (text, lane) in [
            ("9600bps", Lane::Wire { bps: 9_600 }),
            ("100kbps", Lane::Wire { bps: 100_000 }),
            ("10Mbps", Lane::Wire { bps: 10_000_000 }),
            ("stick", Lane::Stick),
            ("qr", Lane::Qr),
            ("sheets", Lane::Sheets),
        ] {
            assert_eq!(text.parse(), Ok(lane), "{text}");
            assert_eq!(lane.to_string().parse(), Ok(lane), "{lane}");
        }
        for text in ["", "0bps", "bps", "-1bps", "9600", "9600baud", "99999999999999999999bps", "101Gbps"] {
            assert!(text.parse::<Lane>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_serial_line_takes_ten_bits_a_byte_and_a_third_more() {
        // 25,600 bytes: 100 symbols and 10 of repair, 316 bytes each, at 960 bytes a second.
        assert_eq!(Lane::Wire { bps: 9_600 }.seconds(25_600), 37);
        assert_eq!(Lane::Wire { bps: 9_600 }.seconds(0), 0);
    }
}
