// visits.rs: Rust that uses the host interface: who was here how often. State is shared by all
// functions of a tenant, and lasts.
//
//     rustc --target wasm32-wasi -O --crate-type cdylib examples/functions/visits.rs -o visits.wasm
//     wardmote fn put visits.wasm
//     wardmote fn call visits anna
#[path = "../../sdk/rust/faaslet.rs"]
mod faaslet;

#[no_mangle]
pub extern "C" fn faaslet_main() -> i32 {
    let name = String::from_utf8_lossy(&faaslet::input()).into_owned();
    if name.is_empty() {
        faaslet::log("nobody was named");
        return 1;
    }
    let all = match faaslet::state_add("visits", 1) {
        Ok(all) => all,
        Err(errno) => return errno,
    };
    let own = faaslet::state_add(&format!("visits:{name}"), 1).unwrap_or(0);
    // A value with bytes in it: the last visitor.
    let before = faaslet::state_read("visitor").unwrap_or_default();
    let written = faaslet::state_delete("visitor")
        .or(Ok(()))
        .and_then(|()| faaslet::state_write("visitor", 0, name.as_bytes()))
        .and_then(|()| faaslet::state_push("visitor"));
    if let Err(errno) = written {
        return errno;
    }
    let before = String::from_utf8_lossy(&before).into_owned();
    faaslet::output(format!("{name}: {own} of {all}, after {before:?}\n").as_bytes())
}
