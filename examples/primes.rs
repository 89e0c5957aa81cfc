// primes.rs: the first primes, or as many as the argument says. Rust, built by rustc as it comes:
//
//     rustc --target wasm32-wasi -O examples/primes.rs -o primes.wasm
//     wardmote run primes.wasm 20
use std::env;

fn main() {
    let count: usize = match env::args().nth(1).unwrap_or_else(|| "10".into()).parse() {
        Ok(count) => count,
        Err(error) => {
            eprintln!("primes: not a number: {error}");
            std::process::exit(2);
        }
    };
    let mut primes: Vec<u64> = Vec::new();
    let mut n = 2;
    while primes.len() < count {
        if primes.iter().take_while(|p| *p * *p <= n).all(|p| n % p != 0) {
            primes.push(n);
        }
        n += 1;
    }
    let text: Vec<String> = primes.iter().map(|p| p.to_string()).collect();
    println!("{}", text.join(" "));
}
