//! The gate judges with nothing but what has crossed: from a cold start it opens no connection to anywhere.

use farside_system_tests::http;
use farside_system_tests::programs::Server;
use farside_system_tests::sides::{CONTROL, Sides};

#[test]
fn a_gate_opens_no_outgoing_socket() {
    let sides = Sides::founded();
    let token = sides.token("ada", CONTROL);
    sides.bundle("full");
    sides.cross();

    let record = sides.path("calls");
    let plain = sides.command("gate serve --config far/gate.toml");
    // -D: the tracer steps aside, so that the process that is stopped in the end is the gate itself.
    let mut traced = std::process::Command::new("strace");
    traced.args(["-D", "-f", "-e", "trace=connect,sendto,sendmsg", "-o"]).arg(&record);
    traced.arg(plain.get_program()).args(plain.get_args()).current_dir(sides.folder());
    let mut gate = Server::start(traced);
    gate.wait_for(sides.gate);
    gate.wait_until("it is ready", || http::get(sides.gate, "/readyz", &[]).status == 200);
    assert_eq!(sides.knock(&token, CONTROL).status, 200);
    assert_eq!(sides.knock("no.such.token", CONTROL).status, 401);
    gate.stop();

    let calls = std::fs::read_to_string(&record).expect("strace wrote its record");
    assert!(calls.contains("+++ exited"), "the whole run was seen:\n{calls}");
    let outgoing: Vec<&str> = calls.lines().filter(|line| line.contains("connect(")).collect();
    assert!(outgoing.is_empty(), "{outgoing:#?}");
}
