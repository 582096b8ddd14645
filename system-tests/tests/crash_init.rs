//! A mint whose power is cut while it is founded: afterwards there is a whole mint, or there is none and the
//! next founding succeeds.

use farside_system_tests::crash::Image;
use farside_system_tests::recorder::Recorder;
use farside_system_tests::sides::Sides;
use farside_system_tests::torture;

/// One image in so many is worked with: opening keys takes long, while a look at the charter takes none.
const WORKED_WITH_EVERY: usize = 40;

fn lay_out(sides: &Sides, image: &Image) {
    let disk = sides.path("cut");
    let _ = std::fs::remove_dir_all(&disk);
    std::fs::create_dir(&disk).expect("a folder for the image");
    image.lay_out(&disk);
}

fn init(folder: &str) -> String {
    format!("mint init --dir {folder} --realm moonbase --passphrase-file near.passphrase --json")
}

#[test]
fn a_power_cut_at_founding_leaves_a_whole_mint_or_none() {
    let sides = Sides::empty();
    std::fs::create_dir(sides.path("near")).expect("a folder for the mint");
    let recorder = Recorder::new(&sides.path("near"));
    assert!(recorder.attach(&mut sides.command(&init("near"))).output().expect("it runs").status.success());
    let recording = recorder.finish();

    let (mut whole, mut none) = (0, 0);
    for (number, image) in recording.states(torture::share(2)).enumerate() {
        lay_out(&sides, &image);
        let shown = sides.attempt("mint charter show --json --config cut/mint.toml");
        let told = String::from_utf8_lossy(image.told()).contains("fingerprint");
        let again = (number % WORKED_WITH_EVERY == 0).then(|| sides.attempt(&init("cut")).code);
        if shown.code == 0 {
            whole += 1;
            assert!(again.is_none_or(|code| code == 1), "{}: {again:?}, and it stands", image.describe());
        } else {
            none += 1;
            assert!(!told, "{}: said to be founded, and is not: {shown:#?}", image.describe());
            assert!(again.is_none_or(|code| code == 0), "{}: {again:?}", image.describe());
        }
        if again.is_some() {
            sides.farside("mint charter show --config cut/mint.toml");
            sides.farside("mint key show cut/offline/root-1.key --passphrase-file near.passphrase");
        }
    }
    assert!(none > 20 && whole > 0, "cuts before and after the last step were tried: {none}, {whole}");
}
