// shapes.cpp: C++ with what needs work at its start: the constructors of static objects. They run
// once, when the function is put, and every call begins behind them.
//
//     wardmote fn put examples/functions/shapes.cpp
//     wardmote fn call shapes 'circle 2, square 3, circle 1'
#include <cmath>
#include <faaslet.h>
#include <map>
#include <memory>
#include <sstream>
#include <string>

struct Shape {
    virtual ~Shape() = default;
    virtual double area() const = 0;
};

struct Circle : Shape {
    explicit Circle(double radius) : radius(radius) {}
    double area() const override { return M_PI * radius * radius; }
    double radius;
};

struct Square : Shape {
    explicit Square(double side) : side(side) {}
    double area() const override { return side * side; }
    double side;
};

class Registry {
  public:
    using Maker = std::unique_ptr<Shape> (*)(double);

    Registry()
    {
        makers["circle"] = [](double size) -> std::unique_ptr<Shape> {
            return std::make_unique<Circle>(size);
        };
        makers["square"] = [](double size) -> std::unique_ptr<Shape> {
            return std::make_unique<Square>(size);
        };
    }

    std::unique_ptr<Shape> make(const std::string &name, double size) const
    {
        auto found = makers.find(name);
        return found == makers.end() ? nullptr : found->second(size);
    }

  private:
    std::map<std::string, Maker> makers;
};

static const Registry registry;

FAASLET_MAIN
{
    std::string text(faaslet_input_size(), 0);
    faaslet_input(text.data(), static_cast<uint32_t>(text.size()));
    for (char &c : text) {
        c = c == ',' ? ' ' : c;
    }
    std::istringstream words(text);
    std::string name;
    double size = 0, total = 0;
    while (words >> name >> size) {
        auto shape = registry.make(name, size);
        if (!shape) {
            std::string message = "there is no shape " + name;
            faaslet_output(message.data(), static_cast<uint32_t>(message.size()));
            return 1;
        }
        total += shape->area();
    }
    std::ostringstream out;
    out << "area " << total << "\n";
    return faaslet_output(out.str().data(), static_cast<uint32_t>(out.str().size()));
}
