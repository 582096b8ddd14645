//! Which stick it was: what the kernel and udev know of the device that a folder lies on. For the chain of
//! custody; nothing is decided by it, for whoever makes a stick chooses its label.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use farside_service::cli::printable;
use rustix::fs::{major, minor};
use serde::Serialize;

/// Characters of a label or number that are kept.
const TEXT_CHARACTERS_MAX: usize = 64;

/// What is known of a medium.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Medium {
    /// What people call it: as the operator said, else its file system's label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) label: Option<String>,
    /// Number or UUID of its file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) volume: Option<String>,
    /// The device's serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) serial: Option<String>,
    /// The device's model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) model: Option<String>,
}

impl Medium {
    /// The medium that `path` lies on; `label` is what the operator calls it.
    pub(crate) fn of(path: &Path, label: Option<&str>) -> Medium {
        let known = fs::metadata(path).map(|about| look(Path::new("/"), about.dev())).unwrap_or_default();
        Medium { label: label.and_then(fit).or(known.label), ..known }
    }
}

/// Looks below `root`, which holds `sys` and `dev`, for the device of that number. A folder of no device (a
/// network share, memory) has none.
fn look(root: &Path, device: u64) -> Medium {
    let block = format!("sys/dev/block/{}:{}", major(device), minor(device));
    let Ok(block) = root.join(block).canonicalize() else { return Medium::default() };
    let device = || block.ancestors().take_while(|above| above.starts_with(root.join("sys")));
    // A partition's disk lies above it, and above that the USB device that has the number.
    let told = |names: &[&str]| {
        let mut paths = device().flat_map(|above| names.iter().map(move |name| above.join(name)));
        paths.find_map(|path| fit(&fs::read_to_string(path).ok()?))
    };
    let name = block.file_name().map(PathBuf::from).unwrap_or_default();
    Medium {
        label: linked(&root.join("dev/disk/by-label"), &name),
        volume: linked(&root.join("dev/disk/by-uuid"), &name),
        serial: told(&["serial", "device/serial"]),
        model: told(&["device/model", "product"]),
    }
}

/// The name under which udev links to a device.
fn linked(folder: &Path, device: &Path) -> Option<String> {
    let entries = fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let found = entries
        .map(|entry| entry.path())
        .find(|path| fs::read_link(path).is_ok_and(|target| target.file_name() == device.file_name()))?;
    fit(&unescaped(&found.file_name()?.to_string_lossy()))
}

/// udev writes a space as `\x20`.
fn unescaped(name: &str) -> String {
    let mut parts = name.split("\\x");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if byte.is_ascii() => {
                text.push(char::from(byte));
                text.push_str(&part[2..]);
            }
            _ => text.push_str(part),
        }
    }
    text
}

fn fit(text: &str) -> Option<String> {
    let text: String = printable(text.trim()).chars().take(TEXT_CHARACTERS_MAX).collect();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_stick_is_known_by_label_volume_serial_and_model() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let usb = root.join("sys/devices/usb1/1-2");
        let disk = usb.join("1-2:1.0/host6/block/sdb");
        fs::create_dir_all(disk.join("sdb1")).unwrap();
        fs::create_dir_all(disk.join("device")).unwrap();
        fs::write(usb.join("serial"), "4C530001\n").unwrap();
        fs::write(disk.join("device/model"), "Ultra Fit \n").unwrap();
        for folder in ["sys/dev/block", "dev/disk/by-label", "dev/disk/by-uuid"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        symlink(disk.join("sdb1"), root.join("sys/dev/block/8:17")).unwrap();
        symlink("../../sdb1", root.join("dev/disk/by-label/RED\\x207")).unwrap();
        symlink("../../sdb1", root.join("dev/disk/by-uuid/1A2B-3C4D")).unwrap();
        symlink("../../sdc1", root.join("dev/disk/by-uuid/FFFF-FFFF")).unwrap();
        let text = |text: &str| Some(text.to_owned());
        let expected = Medium {
            label: text("RED 7"),
            volume: text("1A2B-3C4D"),
            serial: text("4C530001"),
            model: text("Ultra Fit"),
        };
        assert_eq!(look(&root, rustix::fs::makedev(8, 17)), expected);
        assert_eq!(look(&root, rustix::fs::makedev(0, 40)), Medium::default());
    }
}
