// The header in C++17, with all warnings as errors.
#include <flotilla.h>
#include <memory>
#include <string>

int main()
{
    std::unique_ptr<flotilla_options, decltype(&flotilla_options_destroy)> options(flotilla_options_create(),
                                                                                   &flotilla_options_destroy);
    char error[128];
    if (flotilla_options_set(options.get(), "group", "outside", error, sizeof(error)) != 0)
        return 1;
    const std::string key = "order-7";
    return flotilla_partition_for_key(key.data(), key.size(), 12) < 0 || std::string(flotilla_version()).empty();
}
