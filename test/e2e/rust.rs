// Made by another toolchain: the standard library's collections, formatting, files and process exit.
use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufRead, Read, Write};

fn fib(n: u64) -> impl Iterator<Item = u64> {
    let mut state = (0u64, 1u64);
    (0..n).map(move |_| {
        let next = state.0;
        state = (state.1, state.0.wrapping_add(state.1));
        next
    })
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.len() > 1 && args[1] == "panic" {
        let empty: Vec<u32> = Vec::new();
        println!("{}", empty[args.len()]);
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for line in io::stdin().lock().lines() {
        for word in line.unwrap().split_whitespace() {
            *counts.entry(word.to_lowercase()).or_insert(0) += 1;
        }
    }
    println!("{:?}", counts);
    let map: HashMap<u64, f64> = fib(60).map(|n| (n, (n as f64).sqrt())).collect();
    let sum: f64 = { let mut all: Vec<f64> = map.values().cloned().collect();
        all.sort_by(|a, b| a.partial_cmp(b).unwrap()); all.iter().sum() };
    println!("{} {:.6} {}", map.len(), sum, fib(90).last().unwrap());
    println!("{}", i128::MAX / 12345678901234567890i128);
    if args.len() > 1 {
        let path = format!("{}/rust.txt", args[1]);
        let mut file = std::fs::File::create(&path).expect("create");
        writeln!(file, "written by {}", "rust").unwrap();
        drop(file);
        let mut text = String::new();
        std::fs::File::open(&path).unwrap().read_to_string(&mut text).unwrap();
        print!("{}", text);
        let meta = std::fs::metadata(&path).unwrap();
        println!("{} {}", meta.len(), meta.is_file());
        match std::fs::File::open("/etc/passwd") {
            Ok(_) => println!("escaped"),
            Err(error) => println!("outside: {:?}", error.kind()),
        }
    }
    std::process::exit(7);
}
