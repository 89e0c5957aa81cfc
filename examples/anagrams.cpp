// anagrams.cpp: groups of words with the same letters, from standard input. C++ with its containers.
//
//     wardmote build examples/anagrams.cpp -o anagrams.wasm
//     printf 'listen silent enlist google banana\n' | wardmote run anagrams.wasm
#include <algorithm>
#include <cctype>
#include <iostream>
#include <map>
#include <set>
#include <string>

int main()
{
    std::map<std::string, std::set<std::string>> groups;
    std::string word;
    while (std::cin >> word) {
        std::string plain;
        for (unsigned char c : word) {
            if (std::isalpha(c)) {
                plain += static_cast<char>(std::tolower(c));
            }
        }
        if (!plain.empty()) {
            std::string key = plain;
            std::sort(key.begin(), key.end());
            groups[key].insert(plain);
        }
    }
    for (const auto &group : groups) {
        if (group.second.size() > 1) {
            for (const auto &member : group.second) {
                std::cout << member << ' ';
            }
            std::cout << '\n';
        }
    }
}
