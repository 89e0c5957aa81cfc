// The C++ library at work: containers, strings, streams, algorithms, virtual calls, smart pointers.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <iomanip>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>

struct Shape {
    virtual ~Shape() = default;
    virtual double area() const = 0;
};
struct Circle : Shape {
    explicit Circle(double r) : r(r) {}
    double area() const override { return 3.14159265358979 * r * r; }
    double r;
};
struct Square : Shape {
    explicit Square(double a) : a(a) {}
    double area() const override { return a * a; }
    double a;
};

static std::map<std::string, int> words;
struct Global {
    Global() { words["constructed"] = 1; }
    ~Global() { std::cout << "destroyed\n"; }
} global;

template <typename T> T fold(const std::vector<T> &v, std::function<T(T, T)> f)
{
    return std::accumulate(v.begin() + 1, v.end(), v[0], f);
}

int main(int argc, char **argv)
{
    std::string line, word;
    while (std::getline(std::cin, line)) {
        std::istringstream in(line);
        while (in >> word) {
            words[word]++;
        }
    }
    for (const auto &[name, n] : words) {
        std::cout << name << '=' << n << ' ';
    }
    std::cout << '\n';
    std::vector<std::unique_ptr<Shape>> shapes;
    for (int i = 1; i <= 5; i++) {
        if (i % 2) {
            shapes.push_back(std::make_unique<Circle>(i));
        } else {
            shapes.push_back(std::make_unique<Square>(i));
        }
    }
    std::sort(shapes.begin(), shapes.end(),
              [](const auto &a, const auto &b) { return a->area() > b->area(); });
    for (const auto &shape : shapes) {
        std::cout << std::fixed << std::setprecision(3) << shape->area() << ' ';
    }
    std::cout << '\n';
    std::vector<uint64_t> numbers(50);
    std::iota(numbers.begin(), numbers.end(), 1);
    std::cout << fold<uint64_t>(numbers, [](uint64_t a, uint64_t b) { return a * 31 + b; }) << ' '
              << fold<uint64_t>(numbers, std::plus<uint64_t>()) << '\n';
    std::unordered_map<int, std::string> table;
    for (int i = 0; i < 10000; i++) {
        table[i * 7919] = std::to_string(i);
    }
    size_t length = 0;
    for (const auto &[key, text] : table) {
        length += text.size() + static_cast<size_t>(key % 3);
    }
    std::cout << table.size() << ' ' << length << ' ' << std::hypot(3.0, 4.0) << '\n';
    return argc > 1 ? std::stoi(argv[1]) : 0;
}
