// primes.rs: a plain program as a function: standard input is the input, standard output the output.
//
//     rustc --target wasm32-wasi -O examples/functions/primes.rs -o primes.wasm
//     wardmote fn put primes.wasm
//     wardmote fn call primes 100
use std::io::{self, Read};

fn main() {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).expect("input that is text");
    let limit: usize = match text.trim().parse() {
        Ok(limit) if limit <= 10_000_000 => limit,
        _ => {
            eprintln!("primes: {text:?} is no number up to 10000000");
            std::process::exit(2);
        }
    };
    let mut is_prime = vec![true; limit + 1];
    let mut count = 0;
    for n in 2..=limit {
        if is_prime[n] {
            count += 1;
            for multiple in (n * n..=limit).step_by(n) {
                is_prime[multiple] = false;
            }
        }
    }
    println!("{count} primes up to {limit}");
}
