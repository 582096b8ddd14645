//! `farside-mint`: see `farside_mint::cli` for the commands.

fn main() {
    farside_service::harden();
}
