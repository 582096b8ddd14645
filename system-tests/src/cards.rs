//! Break-glass as people set it up and use it: cards in the charter, an order, signatures.

use crate::sides::Sides;

/// Who has a card; two of them open.
pub const CARDS: [&str; 3] = ["cora", "dan", "eve"];

/// Both sides, with a charter that names three cards, two of which open.
pub fn armed() -> Sides {
    let sides = Sides::founded();
    let mut draft = "charter draft --breakglass-threshold 2 --out next.note".to_owned();
    for card in CARDS {
        let passphrase = format!("{card}.passphrase");
        sides.put(&passphrase, format!("the card of {card}\n").as_bytes());
        // A card needs no mint: no configuration is named.
        sides.farside(&format!(
            "mint key new --role breakglass --name {card} --out {card}.key --passphrase-file {passphrase}"
        ));
        draft.push_str(&format!(" --breakglass {card}.key"));
    }
    sides.mint(&draft);
    sides.mint("charter sign --key near/offline/root-1.key --passphrase-file near.passphrase next.note");
    sides.mint("charter adopt next.note");
    sides.bundle("full");
    sides.cross();
    sides
}

/// Leaves an order in `order.note`, for Ada Lovelace as operator and 45 minutes.
pub fn draft(sides: &Sides, audience: &str) {
    sides.gate(&format!(
        "breakglass draft --subject \"Ada Lovelace\" --audience {audience} --role operator \
         --reason \"no courier for a month\" --lifetime 45m --out order.note"
    ));
}

/// A card signs it; what was shown before.
pub fn sign(sides: &Sides, card: &str) -> String {
    let signed = sides
        .farside(&format!("mint key sign --key {card}.key --passphrase-file {card}.passphrase order.note"));
    signed.stderr
}
