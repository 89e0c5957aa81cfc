//! faaslet.rs: what a function running in Wardmote may ask of its host, for Rust.
//!
//! One file, to be taken in with `#[path = ".../faaslet.rs"] mod faaslet;`. A function is a library
//! with an entry that is exported under its C name:
//!
//!     #[no_mangle]
//!     pub extern "C" fn faaslet_main() -> i32 { faaslet::output(&faaslet::input()) }
//!
//!     rustc --target wasm32-wasi -O --crate-type cdylib hello.rs -o hello.wasm
//!
//! `faaslet_init` (runs once, at upload; 0: well) and `faaslet_restored` (runs before each call, the
//! place to seed a random generator) may be exported in the same way. A program with a main() may
//! use this file too; its standard input is the input then, its standard output the output.
//!
//! The interface is that of sdk/faaslet.h, which tells what each call does. Here errors are positive
//! WASI errnos. `raw` has the imports as they are; not all of them have a wrapper.
#![allow(dead_code)]

pub mod raw {
    #[link(wasm_import_module = "faaslet")]
    extern "C" {
        pub fn input_size() -> u32;
        pub fn input_read(offset: u32, out: *mut u8, len: u32) -> i32;
        pub fn output_set(bytes: *const u8, len: u32) -> i32;
        pub fn output_append(bytes: *const u8, len: u32) -> i32;
        pub fn request_read(name: *const u8, name_len: u32, out: *mut u8, len: u32) -> i32;
        pub fn response_status(status: u32) -> i32;
        pub fn response_header(name: *const u8, name_len: u32, value: *const u8, value_len: u32) -> i32;
        pub fn secret_read(name: *const u8, name_len: u32, out: *mut u8, len: u32) -> i32;
        pub fn log(text: *const u8, len: u32) -> i32;
        pub fn chain(name: *const u8, name_len: u32, input: *const u8, input_len: u32) -> i64;
        #[link_name = "await"]
        pub fn await_call(id: i64, timeout_ms: u32) -> i32;
        pub fn chained_output_size(id: i64) -> i32;
        pub fn chained_output_read(id: i64, offset: u32, out: *mut u8, len: u32) -> i32;
        pub fn state_size(key: *const u8, key_len: u32) -> i64;
        pub fn state_create(key: *const u8, key_len: u32, size: u32) -> i32;
        pub fn state_delete(key: *const u8, key_len: u32) -> i32;
        pub fn state_map(key: *const u8, key_len: u32, offset: u32, len: u32, flags: u32) -> *mut u8;
        pub fn state_map_error() -> i32;
        pub fn state_dirty(key: *const u8, key_len: u32, offset: u32, len: u32) -> i32;
        pub fn state_read(key: *const u8, key_len: u32, offset: u32, out: *mut u8, len: u32) -> i32;
        pub fn state_write(key: *const u8, key_len: u32, offset: u32, bytes: *const u8, len: u32) -> i32;
        pub fn state_push(key: *const u8, key_len: u32, offset: u32, len: u32) -> i32;
        pub fn state_pull(key: *const u8, key_len: u32, offset: u32, len: u32) -> i32;
        pub fn state_append(key: *const u8, key_len: u32, bytes: *const u8, len: u32) -> i64;
        pub fn state_appended(key: *const u8, key_len: u32, index: u64, out: *mut u8, len: u32) -> i32;
        pub fn state_appended_count(key: *const u8, key_len: u32) -> i64;
        pub fn state_add(key: *const u8, key_len: u32, delta: i64, out: *mut i64) -> i32;
        pub fn state_lock(key: *const u8, key_len: u32, mode: u32, timeout_ms: u32) -> i32;
        pub fn state_unlock(key: *const u8, key_len: u32) -> i32;
        pub fn state_lock_global(key: *const u8, key_len: u32, mode: u32, timeout_ms: u32) -> i64;
        pub fn state_unlock_global(key: *const u8, key_len: u32) -> i32;
    }
}

/// Minus what the host gives for an error.
pub type Errno = i32;
pub type Result<T> = std::result::Result<T, Errno>;

pub const LOCK_READ: u32 = 0;
pub const LOCK_WRITE: u32 = 1;
pub const FOREVER: u32 = u32::MAX;

fn check(result: i32) -> Result<()> {
    if result < 0 { Err(-result) } else { Ok(()) }
}

fn parts(text: &str) -> (*const u8, u32) {
    (text.as_ptr(), text.len() as u32)
}

/// All of the call's input.
pub fn input() -> Vec<u8> {
    let mut bytes = vec![0; unsafe { raw::input_size() } as usize];
    let len = unsafe { raw::input_read(0, bytes.as_mut_ptr(), bytes.len() as u32) };
    bytes.truncate(len.max(0) as usize);
    bytes
}

/// Replaces the output. 0, or an errno: fit to be returned from faaslet_main.
pub fn output(bytes: &[u8]) -> i32 {
    -unsafe { raw::output_set(bytes.as_ptr(), bytes.len() as u32) }
}

pub fn output_append(bytes: &[u8]) -> Result<()> {
    check(unsafe { raw::output_append(bytes.as_ptr(), bytes.len() as u32) })
}

/// A line of the function's log.
pub fn log(text: &str) {
    unsafe { raw::log(text.as_ptr(), text.len() as u32) };
}

/// What a host call copies out, whose length it tells: asked again where the first room was too small.
fn sized(call: impl Fn(*mut u8, u32) -> i32) -> Result<Vec<u8>> {
    let mut bytes = vec![0u8; 256];
    loop {
        let len = call(bytes.as_mut_ptr(), bytes.len() as u32);
        check(len)?;
        let enough = len as usize <= bytes.len();
        bytes.resize(len as usize, 0);
        if enough {
            return Ok(bytes);
        }
    }
}

/// Of a call that came by a route: "method", "path", "query" or "header:NAME".
pub fn request(name: &str) -> Result<Vec<u8>> {
    let (at, len) = parts(name);
    sized(|out, room| unsafe { raw::request_read(at, len, out, room) })
}

pub fn response_status(status: u32) -> Result<()> {
    check(unsafe { raw::response_status(status) })
}

pub fn response_header(name: &str, value: &str) -> Result<()> {
    let ((name, name_len), (value, value_len)) = (parts(name), parts(value));
    check(unsafe { raw::response_header(name, name_len, value, value_len) })
}

pub fn secret(name: &str) -> Result<Vec<u8>> {
    let (at, len) = parts(name);
    sized(|out, room| unsafe { raw::secret_read(at, len, out, room) })
}

/// Starts another function of the tenant: the call's id.
pub fn chain(name: &str, input: &[u8]) -> Result<i64> {
    let (at, len) = parts(name);
    let id = unsafe { raw::chain(at, len, input.as_ptr(), input.len() as u32) };
    if id < 0 { Err(-id as i32) } else { Ok(id) }
}

/// Waits for a call that this one started: its return code and its output.
pub fn await_call(id: i64) -> Result<(i32, Vec<u8>)> {
    let code = unsafe { raw::await_call(id, FOREVER) };
    check(code)?;
    let size = unsafe { raw::chained_output_size(id) };
    check(size)?;
    let mut bytes = vec![0u8; size as usize];
    check(unsafe { raw::chained_output_read(id, 0, bytes.as_mut_ptr(), size as u32) })?;
    Ok((code, bytes))
}

/// The whole value.
pub fn state_read(key: &str) -> Result<Vec<u8>> {
    let (at, len) = parts(key);
    let size = unsafe { raw::state_size(at, len) };
    if size < 0 {
        return Err(-size as i32);
    }
    let mut bytes = vec![0u8; size as usize];
    let got = unsafe { raw::state_read(at, len, 0, bytes.as_mut_ptr(), size as u32) };
    check(got)?;
    bytes.truncate(got as usize);
    Ok(bytes)
}

pub fn state_write(key: &str, offset: u32, bytes: &[u8]) -> Result<()> {
    let (at, len) = parts(key);
    check(unsafe { raw::state_write(at, len, offset, bytes.as_ptr(), bytes.len() as u32) })
}

pub fn state_push(key: &str) -> Result<()> {
    let (at, len) = parts(key);
    check(unsafe { raw::state_push(at, len, 0, 0) })
}

pub fn state_pull(key: &str) -> Result<()> {
    let (at, len) = parts(key);
    check(unsafe { raw::state_pull(at, len, 0, 0) })
}

pub fn state_delete(key: &str) -> Result<()> {
    let (at, len) = parts(key);
    check(unsafe { raw::state_delete(at, len) })
}

/// Adds to a counter of the global tier: its new value.
pub fn state_add(key: &str, delta: i64) -> Result<i64> {
    let (at, len) = parts(key);
    let mut value = 0;
    check(unsafe { raw::state_add(at, len, delta, &mut value) })?;
    Ok(value)
}

/// The fencing token.
pub fn state_lock_global(key: &str, mode: u32, timeout_ms: u32) -> Result<i64> {
    let (at, len) = parts(key);
    let token = unsafe { raw::state_lock_global(at, len, mode, timeout_ms) };
    if token < 0 { Err(-token as i32) } else { Ok(token) }
}

pub fn state_unlock_global(key: &str) -> Result<()> {
    let (at, len) = parts(key);
    check(unsafe { raw::state_unlock_global(at, len) })
}
